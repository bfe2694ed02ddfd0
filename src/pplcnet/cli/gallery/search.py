"""Find the photos of a gallery that are most similar to new ones, or say "none of these".

A photo that cannot be read gets a record with the error; the others still get their answers. Exit
code 0: at least one photo has an answer; 1: none has; 2: wrong arguments, or a damaged gallery.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from pplcnet.cli.arguments import number, whole
from pplcnet.cli.console import Console
from pplcnet.cli.gallery.opening import GALLERY_HELP, add_bundle, open_model
from pplcnet.cli.given_photos import add_inputs, check_given, inputs_of, paths_of
from pplcnet.cli.output import complain, show, show_json
from pplcnet.system.wording import counted

if TYPE_CHECKING:
    from pplcnet.gallery.gallery import Found, Gallery
    from pplcnet.runtime.embedding import Embedding

__all__ = ["add_arguments", "run"]

# Number of photos compared with the gallery at once.
TOGETHER = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("gallery", metavar="GALLERY", help=GALLERY_HELP)
    add_inputs(parser)
    parser.add_argument(
        "--top-k",
        type=whole(1, 10_000),
        default=1,
        metavar="K",
        help="show the K most similar photos; default: 1",
    )
    parser.add_argument(
        "--threshold",
        type=number(-1, 1),
        metavar="SIMILARITY",
        help="least similarity at which a photo belongs to one of the classes, -1 to 1; default: "
        "the threshold that 'gallery build' chose",
    )
    parser.add_argument(
        "--exact", action="store_true",
        help="compare with every photo, even if the gallery has an index",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    add_bundle(parser)


def run(arguments: argparse.Namespace) -> int:
    """Search and print, one line per photo."""
    given = inputs_of(arguments)
    check_given(given, verb_without_stdin="gallery search")
    from pplcnet.data.image_files import PassedOver
    from pplcnet.gallery.gallery import Gallery

    passed_over = PassedOver()
    model = open_model(arguments, Console())
    gallery = Gallery.open(arguments.gallery)
    gallery.check_model(model)
    photos = unread = 0
    embeddings = model.embed_many(paths_of(given, passed_over))
    for embedding, found in _answers(gallery, embeddings, arguments):
        photos += 1
        unread += found is None
        if arguments.json:
            facts = {"error": embedding.error.reason} if embedding.error else {}
            show_json({"path": embedding.source, **facts, **(found.to_dict() if found else {})})
        elif found is None:
            reason = embedding.error.reason if embedding.error else ""
            show(f"{embedding.source}: error: {reason}")
        else:
            show(f"{embedding.source}: {_in_words(found)}")
    if unread:
        complain(f"{unread} of {counted(photos, 'photo')} could not be read.")
    for note in passed_over.notes():
        complain(f"note: {note}")
    passed_over.raise_unreadable(", ".join(given))
    return int(unread == photos)


def _answers(
    gallery: Gallery, embeddings: Iterable[Embedding], arguments: argparse.Namespace
) -> Iterator[tuple[Embedding, Found | None]]:
    """Yield each photo with its result; None for one that cannot be read."""
    import numpy as np

    waiting = iter(embeddings)
    while some := list(islice(waiting, TOGETHER)):
        readable = [each.vector for each in some if each.error is None]
        found = iter(
            gallery.search_many(
                np.stack(readable),
                count=arguments.top_k,
                threshold=arguments.threshold,
                is_exact=arguments.exact,
            )
            if readable
            else ()
        )
        for each in some:
            yield each, next(found) if each.error is None else None


def _in_words(found: Found) -> str:
    matches = "  ".join(
        f"{each.label} {each.similarity:.3f} ({each.photo})" for each in found.matches
    )
    return matches if found.label is not None else f"none of these; nearest: {matches}"
