"""Serve predictions over HTTP and gRPC, the same as those of 'predict' on the command line.

Serves bundles and galleries, each under its name, or folders of those, until Ctrl-C or SIGTERM. Use
clients for Triton or KServe (Open Inference Protocol v2), or curl:

  curl --data-binary @photo.jpg http://127.0.0.1:8080/v1/classify

Only this machine can connect, unless --host is another of its addresses; then give --api-key-file,
or --no-auth to serve everyone. SIGHUP looks for new bundles.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pplcnet.cli.arguments import number, whole
from pplcnet.cli.output import show
from pplcnet.errors import InputError, require
from pplcnet.system.wording import counted

if TYPE_CHECKING:
    from pplcnet.serving.models import Models
    from pplcnet.serving.settings import Settings

__all__ = ["add_arguments", "run", "settings_of"]

QUEUE_A_WORKER = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "sources",
        metavar="BUNDLE_OR_FOLDER",
        nargs="+",
        help="a bundle (a folder or a .zip), the folder of a run, a gallery, or a folder of those; "
        "NAME=BUNDLE sets its name; by default it is that of the file",
    )
    where = parser.add_argument_group("where")
    where.add_argument("--host", default="127.0.0.1", metavar="ADDRESS",
                       help="the address to listen on; default: 127.0.0.1")  # fmt: skip
    where.add_argument("--port", type=whole(0, 65535), default=8080, metavar="N",
                       help="default: 8080; 0 for any free one")  # fmt: skip
    where.add_argument("--grpc-port", type=whole(0, 65535), metavar="N",
                       help="also serve gRPC on this port; 0 for any free one")  # fmt: skip
    where.add_argument(
        "--page", action=argparse.BooleanOptionalAction, default=None,
        help="serve a page for trying photos at /; default: only if no other machine can connect",
    )  # fmt: skip
    limits = parser.add_argument_group("limits")
    limits.add_argument("--workers", type=whole(1, 256), metavar="N",
                        help="worker processes; default: one per core")  # fmt: skip
    limits.add_argument(
        "--queue", type=whole(1, 100_000), metavar="N",
        help=f"most photos that may wait; default: {QUEUE_A_WORKER} per worker",
    )  # fmt: skip
    limits.add_argument("--queue-megabytes", type=whole(1, 1 << 20), default=256, metavar="N",
                        help="most memory for all requests together; default: 256")  # fmt: skip
    limits.add_argument(
        "--timeout", type=number(0.05, 3600), default=5, metavar="SECONDS",
        help="longest time from the last byte of a request to its response; default: 5",
    )  # fmt: skip
    limits.add_argument(
        "--receive-timeout", type=number(0.1, 3600), default=15, metavar="SECONDS",
        help="longest time from the first byte of a request to its last; default: 15",
    )  # fmt: skip
    limits.add_argument("--max-request-megabytes", type=whole(1, 2048), default=16, metavar="N",
                        help="largest size of a request; default: 16")  # fmt: skip
    limits.add_argument("--max-pixels", type=whole(1, 150_000_000), default=50_000_000,
                        metavar="N", help="most pixels of a photo; default: 50000000")  # fmt: skip
    limits.add_argument("--max-photos", type=whole(1, 10_000), default=64, metavar="N",
                        help="most photos in a request; default: 64")  # fmt: skip
    limits.add_argument("--max-connections", type=whole(1, 100_000), default=512, metavar="N",
                        help="most connections open at once; default: 512")  # fmt: skip
    limits.add_argument(
        "--worker-megabytes", type=whole(64, 1 << 20), default=1536, metavar="N",
        help="most memory for decoding a photo in a worker (Linux); default: 1536",
    )  # fmt: skip
    limits.add_argument(
        "--drain", type=number(0, 3600), default=5, metavar="SECONDS",
        help="after SIGTERM, how long new connections are still accepted; default: 5",
    )  # fmt: skip
    models = parser.add_argument_group("models")
    models.add_argument("--engine", metavar="NAME", help="as for 'predict'")
    models.add_argument("--precision", metavar="NAME", help="as for 'predict'")
    models.add_argument("--trust-network", action="store_true", help="as for 'predict'")
    models.add_argument("--keep-versions", type=whole(1, 100), default=1, metavar="N",
                        help="number of versions of each model to serve; default: 1")  # fmt: skip
    models.add_argument(
        "--reload", type=number(0, 86_400), default=0, metavar="SECONDS",
        help="how often to look for new bundles; default: 0, only on SIGHUP",
    )  # fmt: skip
    models.add_argument("--allow-control", action="store_true",
                        help="let requests load and unload models")  # fmt: skip
    access = parser.add_argument_group("access")
    access.add_argument("--api-key-file", metavar="FILE",
                        help="file of accepted API keys, one per line")  # fmt: skip
    access.add_argument("--no-auth", action="store_true",
                        help="serve everyone who can connect, without a key")  # fmt: skip
    access.add_argument(
        "--tls-certificate", metavar="FILE", help="certificate in PEM format, to serve HTTPS"
    )
    access.add_argument("--tls-key", metavar="FILE", help="its private key in PEM format")
    access.add_argument("--allow-host", action="append", default=[], metavar="NAME",
                        help="another name of this server, such as a proxy's")  # fmt: skip
    access.add_argument(
        "--allow-origin", action="append", default=[], metavar="ORIGIN",
        help="origin whose pages may send requests (CORS), such as https://example.org, or *",
    )  # fmt: skip
    logs = parser.add_argument_group("log and metrics")
    logs.add_argument("--log-format", choices=("text", "json"), default="text",
                      help="default: text")  # fmt: skip
    logs.add_argument(
        "--metric-names", choices=("pplcnet", "triton"), default="pplcnet",
        help="triton: GET /metrics also has the metrics under Triton's names",
    )  # fmt: skip
    logs.add_argument("--access-log", action="store_true", help="log a line for each request")


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    if sys.platform == "win32":
        raise InputError("'serve' runs on Linux and macOS; on Windows use WSL or a container.")
    for module in ("uvicorn", "httptools"):
        require(module, purpose="'pplcnet serve'", extra="serve")
    if arguments.grpc_port is not None:
        for module in ("grpc", "google.protobuf"):
            require(module, purpose="'pplcnet serve --grpc-port'", extra="grpc")
    from pplcnet.serving.access import read_keys
    from pplcnet.serving.logs import Log
    from pplcnet.serving.repository import read_sources
    from pplcnet.serving.workers import Workers

    settings = settings_of(arguments)
    keys = read_keys(arguments.api_key_file) if arguments.api_key_file else []
    if not (settings.is_local or keys or arguments.no_auth):
        raise InputError(
            f"--host is {settings.host!r}, to which other machines can connect; give "
            "--api-key-file, or --no-auth to serve everyone."
        )
    if (arguments.tls_certificate is None) != (arguments.tls_key is None):
        raise InputError("--tls-certificate and --tls-key need each other; give both.")
    sources = read_sources(arguments.sources)
    log = Log(is_json=arguments.log_format == "json", has_access=arguments.access_log)
    workers = Workers(settings, log.event)  # they start while the rest is being imported
    try:
        from pplcnet.serving import server

        tls = None
        if arguments.tls_certificate is not None:
            tls = server.Tls(arguments.tls_certificate, arguments.tls_key)
        listening = server.bind(settings.host, arguments.port)
        port = listening.getsockname()[1]
        name = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = f"{'https' if tls else 'http'}://{name}:{port}"
        server.run(
            settings,
            sources,
            workers,
            log,
            listening=listening,
            announce=lambda models, galleries, grpc_port: _announce(
                url, name, models, galleries, grpc_port
            ),
            keys=keys,
            tls=tls,
        )
    finally:
        workers.kill()
    return 0


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings from the command line, with its defaults."""
    from pplcnet.serving.settings import LOOPBACK, Settings
    from pplcnet.system.processor import available_cores

    workers = arguments.workers or available_cores()
    return Settings(
        workers=workers,
        queue=arguments.queue or QUEUE_A_WORKER * workers,
        keep_versions=arguments.keep_versions,
        queue_bytes=arguments.queue_megabytes << 20,
        timeout=arguments.timeout,
        receive_timeout=arguments.receive_timeout,
        max_request_bytes=arguments.max_request_megabytes << 20,
        max_pixels=arguments.max_pixels,
        max_photos=arguments.max_photos,
        max_connections=arguments.max_connections,
        worker_bytes=arguments.worker_megabytes << 20,
        drain=arguments.drain,
        reload_every=arguments.reload,
        engine=arguments.engine,
        precision=arguments.precision,
        allows_control=arguments.allow_control,
        has_triton_names=arguments.metric_names == "triton",
        is_trusted=arguments.trust_network,
        has_page=arguments.host in LOOPBACK if arguments.page is None else arguments.page,
        host=arguments.host,
        grpc_port=arguments.grpc_port,
        allowed_hosts=arguments.allow_host,
        allowed_origins=arguments.allow_origin,
    )


def _announce(
    url: str, host: str, models: Models, galleries: Models, grpc_port: int | None
) -> None:
    names = [
        f"{each.name} ({counted(len(each.classes), 'class')}, {each.facts['engine']} "
        f"{each.facts['precision']})"
        for name in models.names
        if (each := models.newest(name)) is not None
    ]
    names += [
        f"the gallery {name} ({counted(each.facts['photos'], 'photo')})"
        for name in galleries.names
        if (each := galleries.newest(name)) is not None
    ]
    also = f" and gRPC at {host}:{grpc_port}" if grpc_port is not None else ""
    show(f"Serving {', '.join(names) or 'no model yet'} at {url}{also}; Ctrl-C stops.")
    sys.stdout.flush()
