"""Estimates what the parts of an image file would cost a decoder, without decoding anything.

Segments, chunks, blocks and tags are walked as decoders do. A file with more of them than an image
needs is refused; for all others, the memory that the decoder takes is returned.
"""

from __future__ import annotations

import struct

from pplcnet.errors import ImageError
from pplcnet.imaging.heif_header import read_heif_header
from pplcnet.imaging.limits import Cost, check_memory, check_pixels, is_exif_small
from pplcnet.imaging.tiff_header import TiffHeader, read_tiff_header

__all__ = ["check_structure", "png_without_extras"]

# Any progressive JPEG has about ten scans. Every scan covers all pixels, even an empty one.
USUAL_SCANS = 16
MAX_SCANNED_PIXELS = 800_000_000
# Pieces of a file (segments, chunks, blocks) are examined one by one in Python.
MAX_SEGMENTS = 5_000
MAX_STRAY_BYTES = 100_000
MAX_CHUNKS = 5_000
BYTES_PER_CHUNK = 512
# Optional chunks of a PNG that are kept because they affect what is seen.
BARE_CHUNKS = frozenset([b"tRNS"])
USED_CHUNKS = BARE_CHUNKS | {b"iCCP", b"eXIf", b"XMP"}
# This bit in the first letter of a chunk's name marks it as optional.
ANCILLARY = 0x20
UNPACKED_XMP = b"XML:com.adobe.xmp\0\0"
MAX_BLOCKS = 20_000
# Pillow unpacks a run-length encoded BMP in Python.
MAX_RUN_LENGTH_PIXELS = 8_000_000
MAX_RUN_LENGTH_BYTES = 4_000_000
# The most numbers in a TIFF's tags: a million strip offsets, each a Python number.
MAX_TAG_NUMBERS = 1_000_000
MAX_STRIPS = 100_000

# libwebp holds three canvases of its own and returns one.
WEBP_BYTES = 12
# Measured with tiles, alpha and 10 bits: planes, RGB, and what is passed on to Pillow.
HEIF_BYTES = 10
HEIF_COPIES = 3
# Tiles extend beyond the image, alpha has as many pixels, and there may be depth maps.
MOST_CODED = 3
SPARE_CODED = 4_000_000


def check_structure(content: bytes, kind: str, name: str) -> Cost:
    """Refuse a file whose parts would take a decoder too long, judging by its structure alone.

    Args:
        content: the whole file.
        kind: its format, as named by `kinds.image_format`.

    Returns:
        What its decoder needs besides the pixels.

    Raises:
        ImageError: too many parts, or too much work for its size.
    """
    check = {
        "JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "GIF": _gif, "BMP": _bmp, "TIFF": _tiff,
        "HEIF": _heif, "AVIF": _heif,
    }  # fmt: skip
    return check[kind](content, name)


def _jpeg(content: bytes, name: str) -> Cost:
    at, parts, stray = 2, 0, 0
    frame = scan = b""
    while not scan:
        marker = content.find(b"\xff", at)
        if marker < 0 or marker + 1 >= len(content):
            break  # the decoder reports that it ends too early
        stray += marker - at
        code = content[marker + 1]
        at = marker + 2
        if code in (0x00, 0xFF):
            stray += 1
            at -= code == 0xFF
        elif code == 0x01 or 0xD0 <= code <= 0xD9:
            parts += 1
        else:
            parts += 1
            length = int.from_bytes(content[at : at + 2], "big")
            if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
                frame = content[marker + 1 : at + length]
            elif code == 0xDA:
                scan = content[marker : at + length]
            at += max(length, 2)
        if parts > MAX_SEGMENTS or stray > MAX_STRAY_BYTES:
            raise ImageError(name, "a JPEG whose header has too many parts to be a photo.")
    if len(frame) < 9:
        return Cost(fixed=len(content))
    return Cost(_coefficient_bytes(content, frame, scan, name), len(content))


def _coefficient_bytes(content: bytes, frame: bytes, scan: bytes, name: str) -> float:
    """Bytes per pixel that libjpeg keeps for a JPEG in several scans, whose number is limited."""
    code, precision, components = frame[0], frame[3], frame[8]
    height, width = struct.unpack_from(">HH", frame, 4)
    if code in (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF):
        raise ImageError(name, "a lossless or hierarchical JPEG, which is not supported.")
    if precision != 8:
        raise ImageError(
            name,
            f"a JPEG with {precision} bits per sample, which is not supported; save it with 8.",
        )
    is_progressive = code in (0xC2, 0xCA)
    if not is_progressive and len(scan) > 4 and scan[4] >= components:
        return 0.0
    scans = content.count(b"\xff\xda")
    if scans > USUAL_SCANS:
        scans = _count_scans(content)
    if scans > USUAL_SCANS and scans * width * height > MAX_SCANNED_PIXELS:
        raise ImageError(
            name,
            f"a JPEG of {width}x{height} pixels in {scans} scans, which takes too long to decode; "
            "save it again.",
        )
    factors = [(each >> 4, each & 15) for each in frame[10 : 9 + 3 * components : 3]]
    most = max((h for h, _ in factors), default=1) * max((v for _, v in factors), default=1)
    return 2 * sum(h * v for h, v in factors) / max(most, 1)


def _count_scans(content: bytes) -> int:
    """The number of scans of a JPEG file's first image, without those of an EXIF thumbnail."""
    at, scans = 2, 0
    while 0 <= at < len(content) - 1:
        at = content.find(b"\xff", at)
        if at < 0 or at + 1 >= len(content) or content[at + 1] == 0xD9:
            break
        code = content[at + 1]
        if code == 0xFF:
            at += 1
        elif code <= 0x01 or 0xD0 <= code <= 0xD8:
            at += 2
        else:
            scans += code == 0xDA
            at += 2 + max(int.from_bytes(content[at + 2 : at + 4], "big"), 2)
    return scans


def _png(content: bytes, name: str) -> Cost:
    at, chunks, has_extras = 8, 0, False
    allowed = MAX_CHUNKS + len(content) // BYTES_PER_CHUNK
    while at + 8 <= len(content):
        chunks += 1
        if chunks > allowed:
            raise ImageError(name, "a PNG in too many chunks to be an ordinary image.")
        kind = content[at + 4 : at + 8]
        has_extras |= bool(kind[0] & ANCILLARY) and kind not in USED_CHUNKS
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    # The decoder gets a copy without the extras.
    return Cost(fixed=len(content) * (1 + has_extras))


def png_without_extras(content: bytes, *, bare: bool = False) -> bytes:
    """A PNG without the chunks that affect no pixel: texts, times, later frames, private ones.

    A decoder reads and unpacks them all, and refuses the image if one is damaged or large.

    Args:
        bare: also leave out the colour profile and the orientation, which may be damaged.

    Returns:
        `content` itself if nothing is left out.
    """
    kept, start, at = [], 0, 8
    used = BARE_CHUNKS if bare else USED_CHUNKS
    seen: set[bytes] = set()
    while at + 8 <= len(content):
        name = content[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        is_ancillary = bool(name[0] & ANCILLARY)
        if name == b"iTXt" and content[at + 8 : at + 27] == UNPACKED_XMP:
            name = b"XMP"  # may hold the orientation
        if is_ancillary and (name in seen or name not in used):
            kept.append(content[start:at])
            start = end
        seen.add(name)
        at = end
    return b"".join([*kept, content[start:]]) if kept else content


def _webp(content: bytes, name: str) -> Cost:
    # The decoder allocates its canvas when it is created, before Pillow knows how large it is.
    kind, head = content[12:16], content[20:30]
    size = (0, 0)
    if kind == b"VP8X" and len(head) == 10:
        size = (
            1 + int.from_bytes(head[4:7], "little"),
            1 + int.from_bytes(head[7:10], "little"),
        )
    elif kind == b"VP8L" and head[:1] == b"\x2f":
        bits = int.from_bytes(head[1:5], "little")
        size = (1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    elif kind == b"VP8 " and len(head) == 10:
        size = (
            int.from_bytes(head[6:8], "little") & 0x3FFF,
            int.from_bytes(head[8:10], "little") & 0x3FFF,
        )
    cost = Cost(WEBP_BYTES, len(content))
    check_pixels(size, name)
    check_memory(size, "RGB", name, cost=cost, is_changed=False)
    return cost


def _heif(content: bytes, name: str) -> Cost:
    header = read_heif_header(content)
    if header is None:
        raise ImageError(name, "truncated or damaged (it does not describe an image).")
    check_pixels(header.size, name)
    width, height = header.size
    if header.coded_pixels > MOST_CODED * width * height + SPARE_CODED:
        raise ImageError(
            name,
            f"an image of {width}x{height} pixels made of parts with {header.coded_pixels:,}, "
            "which takes too long to decode; save it as JPEG.",
        )
    if not all(map(is_exif_small, header.exif)):
        raise ImageError(name, "its EXIF declares more than an image needs; save it as JPEG.")
    cost = Cost(HEIF_BYTES, HEIF_COPIES * len(content))
    check_memory(header.size, "RGB", name, cost=cost, is_changed=False)
    return cost


def _gif(content: bytes, name: str) -> Cost:
    flags = content[10] if len(content) > 10 else 0
    at, blocks = 13 + (3 << (flags & 7) + 1) * (flags >> 7), 0
    while content[at : at + 1] not in (b"", b",", b";"):
        if content[at : at + 1] != b"!":
            blocks, at = blocks + 1, at + 1
        else:
            at += 2
            while at < len(content) and content[at] and blocks <= MAX_BLOCKS:
                blocks, at = blocks + 1, at + 1 + content[at]
            blocks, at = blocks + 1, at + 1
        if blocks > MAX_BLOCKS:
            raise ImageError(name, "a GIF with too many blocks before its first frame.")
    return Cost(fixed=len(content))


def _bmp(content: bytes, name: str) -> Cost:
    if len(content) < 34 or int.from_bytes(content[14:18], "little") < 40:
        return Cost(fixed=len(content))
    width, height = struct.unpack_from("<ii", content, 18)
    (compression,) = struct.unpack_from("<I", content, 30)
    if compression not in (1, 2):
        return Cost(fixed=len(content))
    if abs(width * height) > MAX_RUN_LENGTH_PIXELS or len(content) > MAX_RUN_LENGTH_BYTES:
        raise ImageError(
            name,
            f"a run-length encoded BMP of {width}x{abs(height)} pixels, which takes too long to "
            "decode; save it as PNG.",
        )
    return Cost(3, len(content))


WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, STRIPS, SAMPLES = 256, 257, 258, 259, 262, 273, 277
SUBFILE, TILE_WIDTH, TILE_LENGTH, TILES, SUBDIRECTORIES, DNG = 254, 322, 323, 324, 330, 50706
ROWS_PER_STRIP = 278


def _tiff(content: bytes, name: str) -> Cost:
    header = read_tiff_header(content)
    if header is None:
        raise ImageError(name, "truncated or damaged (a TIFF without its first directory).")
    is_preview = header.first(SUBFILE, 0) & 1 and SUBDIRECTORIES in header.counts
    if DNG in header.counts or is_preview:
        raise ImageError(
            name, "a camera raw file, which is not supported; develop it and save it as JPEG."
        )
    pieces = max(header.counts.get(STRIPS, 0), header.counts.get(TILES, 0))
    if (
        header.stored_bytes > len(content)
        or header.number_count > MAX_TAG_NUMBERS
        or pieces > MAX_STRIPS
    ):
        raise ImageError(name, "a TIFF whose tags declare more than an image needs.")
    return Cost(fixed=len(content) + header.stored_bytes + 2 * _piece_bytes(header))


def _piece_bytes(header: TiffHeader) -> int:
    """Bytes of one decoded strip or tile, which libtiff holds as a whole."""
    width, length = header.first(WIDTH, 0), header.first(LENGTH, 0)
    if TILES in header.counts or TILE_WIDTH in header.counts:
        width, length = header.first(TILE_WIDTH, width), header.first(TILE_LENGTH, length)
    else:
        length = min(length, header.first(ROWS_PER_STRIP, length))
    bits = max(header.values.get(BITS, (1,)))
    return max(width, 0) * max(length, 0) * max(header.first(SAMPLES, 1), 1) * max(bits, 8) // 8
