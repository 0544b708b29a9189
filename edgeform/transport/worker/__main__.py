from gevent import monkey

monkey.patch_all()  # the first statement of the process: without it pyinfra's time limits do nothing

from edgeform.transport.worker.serve import main  # noqa: E402 - see above

if __name__ == "__main__":
    main()
