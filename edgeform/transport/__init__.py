"""All sockets and subprocesses: the only package that imports pyinfra, gevent, paramiko or ansible."""
