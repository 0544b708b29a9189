from gevent import monkey

monkey.patch_all()  # the first statement of the process: without it pyinfra's time limits do nothing

from edgeform.transport.worker.later import import_later  # noqa: E402 - see above

# paramiko imports it for `Match exec`, where pyinfra puts a class of its own in its place; it is a fifth of
# all that a worker reads.
import_later("invoke")

from edgeform.transport.worker.serve import main  # noqa: E402 - see above

if __name__ == "__main__":
    main()
