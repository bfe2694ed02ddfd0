"""Identifies a file by its first bytes: a supported image, or what else it is and what to do."""

from __future__ import annotations

__all__ = ["READ_FORMATS", "describe", "image_format"]

READ_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "HEIF", "AVIF")
"""Pillow's names. "JPEG" also opens MPO, which some phones write. The last two are optional."""

LIST = "JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC and AVIF"
CONVERT = "save it as JPEG or PNG"
FETCH = "download it again"
RAW = ("a camera raw file", f"develop it and {CONVERT}")
VIDEO = ("a video", "extract its frames as JPEG or PNG")
ARCHIVE = ("an archive", "unpack it first")

# The first bytes of files that are something else, with what to call them and what to do.
STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image", CONVERT),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image", CONVERT),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image", CONVERT),
    (b"\xff\x0a", "a JPEG XL image", CONVERT),
    (b"II\xbc\x01", "a JPEG XR image", CONVERT),
    (b"8BPS", "a Photoshop document (PSD)", CONVERT),
    (b"gimp xcf", "a GIMP document (XCF)", CONVERT),
    (b"%PDF", "a PDF document", "save its pages as JPEG or PNG"),
    (b"%!PS", "a PostScript document", CONVERT),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document (EPS)", CONVERT),
    (b"\0\0\1\0", "a Windows icon (ICO)", CONVERT),
    (b"\0\0\2\0", "a Windows cursor", CONVERT),
    (b"icns", "an Apple icon (ICNS)", CONVERT),
    (b"DDS ", "a DDS texture", CONVERT),
    (b"v/1\x01", "an OpenEXR image", CONVERT),
    (b"#?RADIANCE", "a Radiance HDR image", CONVERT),
    (b"SIMPLE  =", "a FITS image", CONVERT),
    (b"qoif", "a QOI image", CONVERT),
    (b"FLIF", "a FLIF image", CONVERT),
    (b"BPG\xfb", "a BPG image", CONVERT),
    (b"\x8aMNG", "an MNG animation", CONVERT),
    (b"\x8bJNG", "a JNG image", CONVERT),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile (WMF)", CONVERT),
    (b"\x93NUMPY", "a NumPy array", "pass the loaded array, or save it as PNG"),
    (b"\x89HDF", "an HDF5 file", "save its images as PNG"),
    (b"II*\0\x10\0\0\0CR", *RAW),
    (b"FUJIFILMCCD-RAW", *RAW),
    (b"IIRO", *RAW),
    (b"IIRS", *RAW),
    (b"MMOR", *RAW),
    (b"IIU\0", *RAW),
    (b"FOVb", *RAW),
    (b"\x1aE\xdf\xa3", *VIDEO),
    (b"OggS", *VIDEO),
    (b"\0\0\1\xba", *VIDEO),
    (b"\0\0\1\xb3", *VIDEO),
    (b"FLV\1", *VIDEO),
    (b"PK\3\4", *ARCHIVE),
    (b"\x1f\x8b", *ARCHIVE),
    (b"BZh", *ARCHIVE),
    (b"\xfd7zXZ", *ARCHIVE),
    (b"7z\xbc\xaf", *ARCHIVE),
    (b"Rar!", *ARCHIVE),
    (b"\0\5\x16\7", "macOS metadata (AppleDouble)", "delete it"),
    (b"\0\5\x16\0", "macOS metadata (AppleSingle)", "delete it"),
    (b"\xd0\xcf\x11\xe0", "an Office or Thumbs.db file", "delete it"),
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer",
        "fetch the image with `git lfs pull`",
    ),
)
# Brands of ISO media files (in their box "ftyp"). Those that can be read, in order of preference:
IMAGE_BRANDS: tuple[tuple[str, frozenset[bytes]], ...] = (
    ("AVIF", frozenset([b"avif", b"avis"])),
    ("HEIF", frozenset(
        [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"]
    )),
)  # fmt: skip
# Other brands that are not videos:
BRANDS: tuple[tuple[tuple[bytes, ...], tuple[str, str]], ...] = (
    ((b"crx ",), RAW),
    ((b"jp2 ", b"jpx ", b"jph "), ("a JPEG 2000 image", CONVERT)),
)
SVG = ("an SVG drawing", f"render it and {CONVERT}")
MARKUP: tuple[tuple[bytes, tuple[str, str]], ...] = (
    (b"<svg", SVG),
    (b"<!doctype svg", SVG),
    (b"<!doctype html", ("a web page (HTML), often a server's error page", FETCH)),
    (b"<html", ("a web page (HTML), often a server's error page", FETCH)),
    (b"<?xml", ("an XML document, often a server's error message", FETCH)),
)
LOOKED_AT = 1024


def image_format(content: bytes) -> str | None:
    """The format in READ_FORMATS that the first bytes indicate; None for anything else."""
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "WEBP"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if content.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")) and content[8:10] != b"CR":
        return "TIFF"
    if content[4:8] == b"ftyp":
        brands = _brands(content[:LOOKED_AT])
        return next((kind for kind, known in IMAGE_BRANDS if known & brands), None)
    return "BMP" if content.startswith(b"BM") else None


def describe(content: bytes) -> str:
    """Half a sentence on what a file that is in no readable format is, and what to do about it."""
    what, to_do = _recognised(content[:LOOKED_AT])
    if not what:
        return f"not an image of a known kind ({LIST} are read)."
    if to_do.endswith(CONVERT):
        return f"{what}, which is not supported ({LIST} are); {to_do}."
    return f"not an image but {what}; {to_do}."


def _recognised(head: bytes) -> tuple[str, str]:
    """What the file is and what to do; both empty if unknown."""
    for start, what, to_do in STARTS:
        if head.startswith(start):
            return what, to_do
    if head[4:8] == b"ftyp":
        return _recognised_brand(head)
    if head.startswith(b"RIFF"):
        return VIDEO if head[8:12] == b"AVI " else ("a RIFF file that is no WebP image", CONVERT)
    if head[:1] == b"P" and head[1:2] in b"1234567fF" and head[2:3] in b"\n\r \t":
        return "a Netpbm image", CONVERT
    if head[128:132] == b"DICM":
        return "a DICOM image", CONVERT
    if head[257:262] == b"ustar":
        return ARCHIVE
    return _recognised_text(head)


def _recognised_brand(head: bytes) -> tuple[str, str]:
    """For an ISO media file: brands identify images; everything else counts as a video."""
    brands = _brands(head)
    return next(
        (answer for known, answer in BRANDS if any(brand in known for brand in brands)), VIDEO
    )


def _brands(head: bytes) -> set[bytes]:
    length = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))}


def _recognised_text(head: bytes) -> tuple[str, str]:
    if head and not head.strip(b"\0"):
        return "only zero bytes (a damaged copy)", "copy or download it again"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<"):
        if text.startswith((b"<?xml", b"<!--")) and b"<svg" in text:
            return SVG
        for start, answer in MARKUP:
            if text.startswith(start):
                return answer
        if b"<html" in text or b"<body" in text or b"<head" in text:
            return "a web page (HTML), often a server's error page", FETCH
    if text.startswith((b"{", b"[")) and _is_text(head):
        return "JSON text", FETCH
    if _is_text(head):
        return "plain text", FETCH
    return "", ""


def _is_text(head: bytes) -> bool:
    """Whether these are printable characters in UTF-8, except one that is cut off at the end."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(head) < LOOKED_AT or error.start < len(head) - 4:
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text) and all(each.isprintable() or each in "\n\r\t\f\b" for each in text)
