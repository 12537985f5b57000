"""A page to deblur photos in the browser: ``python tools/webui.py CONFIG WEIGHTS``."""

import argparse
import os
import signal
import socket
import threading
from typing import List

from mmspd.errors import UserError
from mmspd.utils.cli import add_inferencer_arguments, run_main


def parse_args(argv: List[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Serve a page on which photos are restored and compared. Ctrl-C ends it.'
    )
    add_inferencer_arguments(parser)
    parser.add_argument('--port', type=int, default=7860, help='0 for any that is free')
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen on; the default is for this computer alone, 0.0.0.0 lets everyone '
        'on the network use the page',
    )
    parser.add_argument(
        '--max-megabytes', type=float, default=200, metavar='N', help='refuse larger files'
    )
    return parser.parse_args(argv)


def main(argv: List[str]) -> None:
    """Serve the page until interrupted."""
    args = parse_args(argv)
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ModuleNotFoundError as error:
        raise UserError(f'the page needs {error.name}: pip install starlette uvicorn') from error
    try:  # before the model, which takes its time to load
        address = socket.create_server((args.host, args.port))
    except (OSError, OverflowError) as error:
        raise UserError(
            f'cannot listen on {args.host}:{args.port} ({error}): choose another --port or --host'
        ) from error
    with address:
        # late: they wait for PyTorch
        from mmspd.apis import DeblurInferencer, RestoreOptions
        from mmspd.apis.webui import make_app

        inferencer = DeblurInferencer(args.config, args.weights, args.device)
        app = make_app(inferencer, round(args.max_megabytes * 1e6), RestoreOptions(tile=args.tile))
        # its own configuration of logging would close the log files of this process
        config = uvicorn.Config(app, log_level='warning', log_config=None)
        server = uvicorn.Server(config)
        # in a thread of its own it leaves Ctrl-C to us
        serving = threading.Thread(target=server.run, kwargs=dict(sockets=[address]), daemon=True)
        serving.start()
        host, port = address.getsockname()
        print(f'Open http://{host}:{port} in a browser; Ctrl-C ends.', flush=True)
        # an ordinary end would wait for the photo that is being restored; nothing is written here
        signal.signal(signal.SIGINT, lambda *_: os._exit(0))
        serving.join()


if __name__ == '__main__':
    run_main(main)
