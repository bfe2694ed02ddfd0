"""Write the embeddings of photos to a file: one vector for each photo.

Photos that look alike have vectors that point in nearly the same direction. The vectors have length
1, so the dot product of two of them is their cosine similarity.

vectors.parquet has the columns path and embedding. vectors.npy is a float32 array (photos,
numbers), and vectors.photos.csv next to it has the path of the photo of each row. A photo that
cannot be read has no row and is named on stderr. Exit code 0: at least one photo has a vector; 1:
none has, and nothing is written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pplcnet.cli.arguments import BUNDLE_HELP, add_threads
from pplcnet.cli.console import Console
from pplcnet.cli.given_photos import add_inputs, check_given, inputs_of, paths_of
from pplcnet.cli.output import complain, show
from pplcnet.system.wording import counted

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", help=BUNDLE_HELP)
    add_inputs(parser)
    parser.add_argument(
        "--out",
        metavar="FILE",
        required=True,
        help="a file that ends in .parquet (needs pyarrow) or .npy; an existing one is replaced",
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="write the network's raw output instead of vectors of length 1",
    )
    add_threads(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compute and write the embeddings."""
    from pplcnet.gallery.vector_files import check_vector_file, write_vectors

    check_vector_file(arguments.out)
    given = inputs_of(arguments)
    check_given(given, verb_without_stdin="embed")
    from pplcnet.data.image_files import PassedOver
    from pplcnet.runtime.embedding import network_digest
    from pplcnet.runtime.model import load

    console, passed_over = Console(), PassedOver()
    with console.busy("opening the network"):
        model = load(arguments.bundle, threads=arguments.threads)
    paths = list(paths_of(given, passed_over))
    embeddings = console.watch(
        model.embed_many(paths, normalize=not arguments.raw), len(paths), "embed"
    )
    written = write_vectors(
        arguments.out,
        embeddings,
        facts={
            "network": str(model.manifest.network.get("name", "")),
            "network_digest": network_digest(model.manifest),
            "precision": model.choice.precision,
            "length": "as the network gives it" if arguments.raw else "1",
        },
    )
    for error in written.errors:
        complain(f"{error}")
    for note in passed_over.notes():
        complain(f"note: {note}")
    if written.errors:
        complain(f"{len(written.errors)} of {counted(len(paths), 'photo')} could not be read.")
    passed_over.raise_unreadable(", ".join(given))
    if not written.rows:
        return 1
    files = ", ".join(each.name for each in written.files)
    show(
        f"{counted(written.rows, 'vector')} of {counted(written.size, 'number')} each, written to "
        f"{Path(arguments.out).parent}: {files}"
    )
    return 0
