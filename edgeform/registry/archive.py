"""Tar archives as a registry keeps them, turned into plain files of the spool.

Only plain files with names inside the path grammar come out; links, devices and names that lead elsewhere
refuse the whole archive. tarfile never writes to disk here: CPython's own filter let files escape (the
CVE-2025-4517 family), so nothing is extracted, members are only read.
"""

import shutil
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO

from edgeform.registry.base import MAX_FILES, SourceRefused, check_files
from edgeform.registry.spool import Offered, Reply, Spool, from_file

ENDINGS = (".tar.gz", ".tgz", ".tar")
_CHUNK_BYTES = 2**18


def unpacked(archive: Offered, spool: Spool) -> tuple[Offered, ...]:
    """The files of an archive, in the spool, offered by their digests.

    Raises:
        SourceRefused: it is damaged, too large, or holds anything but plain files and folders.
    """
    whole = spool.take(archive)
    found = []
    try:
        with spool.path(whole.digest).open("rb") as stream:
            for path, content, size in _members(stream, archive.where, spool):
                taken = spool.take(_member(path, content, size, f"{archive.where}!{path}"))
                at = spool.path(taken.digest)
                found.append(
                    Offered(
                        path=path,
                        where=f"{archive.where}!{path}",
                        read=from_file(at),
                        size_bytes=taken.size_bytes,
                        digest=taken.digest,
                    )
                )
    except (tarfile.TarError, EOFError, zlib.error, OSError) as exc:
        raise SourceRefused(
            f"It is no archive, or a damaged one: {exc}.", address=archive.where
        ) from exc
    check_files(tuple(file.path for file in found), archive.where)
    return tuple(found)


def _members(stream: IO[bytes], where: str, spool: Spool) -> Iterator[tuple[str, IO[bytes], int]]:
    room, count = shutil.disk_usage(spool.folder).free, 0
    with tarfile.open(fileobj=stream, mode="r:*") as archive:
        for member in archive:
            count += 1
            if count > MAX_FILES:
                raise SourceRefused(f"It has more than {MAX_FILES} entries.", address=where)
            if member.isdir():
                continue
            name = member.name.removeprefix("./")
            content = archive.extractfile(member) if member.isreg() else None
            if content is None:
                raise SourceRefused(
                    f"{member.name!r:.80} in it is a link, or no plain file.",
                    address=where,
                    hint="Pack plain files only, as `tar --dereference --hard-dereference` does.",
                )
            check_files((name,), where)
            room -= member.size
            if room < 0:
                raise SourceRefused(
                    f"Unpacked it does not fit on this disk: {name!r} alone has {member.size} bytes.",
                    address=where,
                )
            yield name, content, member.size


def _member(path: str, content: IO[bytes], size: int, where: str) -> Offered:
    def read(_offset: int, _validator: str | None) -> Reply:
        return Reply(chunks=iter(lambda: content.read(_CHUNK_BYTES), b""), size_bytes=size)

    return Offered(path=path, where=where, read=read, size_bytes=size)
