"""Serve a web page that deblurs photos.

python tools/webui.py CONFIG WEIGHTS
"""

import argparse
import errno
import os
import signal
import socket
import threading
from typing import List

from mmspd.errors import UsageError, UserError
from mmspd.utils.cli import add_inferencer_arguments, positive, run_main, zero_or_more
from mmspd.weights.sources import find_source


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Serve a web page that deblurs photos and compares the results with the '
        'originals. Press Ctrl-C to stop.'
    )
    add_inferencer_arguments(parser)
    parser.add_argument(
        '--port', type=zero_or_more, default=7860, help='port; 0 for any free port (default: 7860)'
    )
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen on; with 0.0.0.0, everyone on the network can use the page '
        '(default: 127.0.0.1, this computer only)',
    )
    parser.add_argument(
        '--allow-host',
        action='append',
        default=[],
        metavar='NAME',
        help='another name under which browsers reach the page, besides localhost, an IP address '
        'and the name of this computer; may be repeated',
    )
    parser.add_argument(
        '--max-megabytes',
        type=positive,
        default=200,
        metavar='N',
        help='size limit of photo files, in MB (default: 200)',
    )
    return parser.parse_args(argv)


def main(argv: List[str]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        argv: Command-line arguments.

    Raises:
        UserError: A package is missing, or the network address is not available.
    """
    args = parse_args(argv)
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            f'The web page needs the package {error.name}; run pip install starlette uvicorn.'
        ) from error
    try:  # check the address first, because loading the model takes long
        family = socket.AF_INET6 if ':' in args.host else socket.AF_INET
        address = socket.create_server((args.host, args.port), family=family)
    except OverflowError as error:
        raise UsageError(f'--port {args.port} is too large; use 0 to 65535.') from error
    except OSError as error:
        kind = UserError if error.errno == errno.EADDRINUSE else UsageError
        raise kind(
            f'Cannot listen on {args.host}:{args.port} ({error}); choose another --port or --host.'
        ) from error
    with address:
        weights = find_source(args.weights, args.config)
        # imported here, because these imports are slow
        from mmspd.apis import DeblurInferencer, RestoreOptions
        from mmspd.apis.web_server import make_server
        from mmspd.apis.webui import make_app

        inferencer = DeblurInferencer(args.config, weights, args.device)
        options = RestoreOptions(tile=args.tile)
        hosts = [args.host, *args.allow_host]
        server = make_server(make_app(inferencer, round(args.max_megabytes * 1e6), options, hosts))
        # in another thread, uvicorn does not handle Ctrl-C, so this function can handle it
        serving = threading.Thread(target=server.run, kwargs=dict(sockets=[address]), daemon=True)
        serving.start()
        host, port = address.getsockname()[:2]
        host = f'[{host}]' if ':' in host else host
        print(f'Open http://{host}:{port} in a browser. Press Ctrl-C to stop.', flush=True)
        # exit at once, because a normal exit would wait for the current photo; no file is written
        signal.signal(signal.SIGINT, lambda *_: os._exit(0))
        serving.join()


if __name__ == '__main__':
    run_main(main)
