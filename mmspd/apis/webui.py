"""Serve a web page that deblurs photos and compares the results with the originals."""

import asyncio
import json
import logging
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any, AsyncIterator, Callable, Iterable

import cv2
import numpy as np
from mmengine.logging import print_log
from mmengine.model import BaseModel
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mmspd.apis.inferencer import DeblurInferencer, RestoreOptions
from mmspd.apis.web_guard import LIMITS, Guard, Limits, Refusal, RefusedError, read_body
from mmspd.datasets.photo_io import decode_photo, to_tensor
from mmspd.errors import UserError
from mmspd.models.guided import SemanticGuided
from mmspd.utils.failures import sentence_of
from mmspd.visualization import Palette, draw_rows, view_prior

__all__ = ['make_app']

PREVIEW_SIDE = 8192  # pixels; browsers cannot show much larger images
PRIOR_SIDE = 512  # pixels; a larger photo is reduced before its prior is drawn

_PIECE = 2**16  # bytes; the time to send each piece of an answer is limited

# names of the colors, by number of channels
_COLORS = {1: 'gray', 2: 'gray with alpha', 3: 'RGB', 4: 'RGB with alpha'}

#: Function that sends a frame. A frame is a line of JSON and a payload. The value ``bytes`` in
#: the JSON is the length of the payload.
Emit = Callable[..., None]


class _ClientLeftError(Exception):
    """The client has closed the connection."""


def make_app(
    inferencer: DeblurInferencer,
    max_bytes: int,
    options: RestoreOptions,
    hosts: Iterable[str] = (),
    limits: Limits = LIMITS,
) -> ASGIApp:
    """Create the web application, which any ASGI server can serve.

    Photos and results are kept in memory during a request. They are never written to the disk. The
    photos are restored one at a time.

    Args:
        inferencer: The inferencer that restores the photos.
        max_bytes: Size limit of a photo file, in bytes.
        options: Options of the restoration.
        hosts: Names of the server, besides its IP addresses, ``localhost`` and the name of the
            machine.
        limits: Limits of the number of requests and of their time.

    Returns:
        An application with three routes. ``GET /`` returns the page. ``GET /about`` returns the
        model and the limit as JSON. ``POST /restore?name=...`` takes a photo file as its body and
        returns a stream of frames. Requests of foreign pages are refused.
    """
    page = Path(__file__).with_suffix('.html').read_text(encoding='utf-8')
    generator = inferencer.model.generator
    about = dict(
        model=Path(inferencer.cfg.filename or 'model').stem,
        device=str(next(generator.parameters()).device),
        guided=isinstance(generator, SemanticGuided),
        max_bytes=max_bytes,
    )

    async def show(_: Request) -> Response:
        return HTMLResponse(page)

    async def describe(_: Request) -> Response:
        return JSONResponse(about)

    routes = [
        Route('/', show),
        Route('/about', describe),
        Route('/restore', _Restore(inferencer, max_bytes, options, limits), methods=['POST']),
    ]
    return Guard(Starlette(routes=routes), hosts, limits)


class _Restore:
    """ASGI application that restores the photo in the body of a request."""

    def __init__(
        self, inferencer: DeblurInferencer, max_bytes: int, options: RestoreOptions, limits: Limits
    ) -> None:
        self._inferencer = inferencer
        self._max_bytes = max_bytes
        self._options = options
        self._limits = limits
        self._executor = ThreadPoolExecutor(max_workers=1)  # one photo at a time
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, if there are not too many."""
        if self._requests >= self._limits.requests:
            busy = f'{self._requests} photos are being restored already; try again in a minute.'
            await Refusal(503, busy)(scope, receive, send)
            return
        name = Path(Request(scope).query_params.get('name', 'photo')).name
        self._requests += 1
        try:
            data = await read_body(scope, receive, name, self._max_bytes, self._limits)
            await self._frames_of(name, data)(scope, receive, send)
            return
        except ClientDisconnect:
            return  # the client will not read an answer
        except RefusedError as error:
            refusal = Refusal(error.status, error.sentence)
        finally:
            self._requests -= 1
        await refusal(scope, receive, send)

    def _frames_of(self, name: str, data: bytes) -> Response:
        def work(emit: Emit) -> None:
            try:
                _restore(self._inferencer, self._options, name, data, emit)
            except _ClientLeftError:
                raise
            except UserError as error:
                emit('error', sentence=sentence_of(error))
            except Exception as error:  # a decoder or the device may raise any exception
                print_log(traceback.format_exc(), 'current', logging.ERROR)
                reason = type(error).__name__
                emit(
                    'error',
                    sentence=f"'{name}' cannot be restored ({reason}); choose another photo, or "
                    'read the error in the terminal of the server.',
                )

        frames = _frames(work, self._executor)
        return StreamingResponse(frames, media_type='application/octet-stream')


async def _frames(
    work: Callable[[Emit], None], executor: ThreadPoolExecutor
) -> AsyncIterator[bytes]:
    """Run work in the executor and yield its frames; stop the work if the client leaves."""
    loop = asyncio.get_running_loop()
    frames: asyncio.Queue = asyncio.Queue()
    left = Event()

    def emit(event: str, payload: bytes = b'', **values: Any) -> None:
        if left.is_set():
            raise _ClientLeftError
        line = json.dumps(dict(event=event, bytes=len(payload), **values)).encode() + b'\n'
        loop.call_soon_threadsafe(frames.put_nowait, line + payload)

    future = loop.run_in_executor(executor, work, emit)
    future.add_done_callback(lambda _: frames.put_nowait(None))
    try:
        while True:
            frame = await frames.get()
            if frame is None:
                break
            for start in range(0, len(frame), _PIECE):
                yield frame[start : start + _PIECE]
        await future  # raises the exception of `work`, if there is one
    finally:
        left.set()
        future.cancel()


def _restore(
    inferencer: DeblurInferencer, options: RestoreOptions, name: str, data: bytes, emit: Emit
) -> None:
    """Restore a photo and emit the previews, the progress, the result and the prior."""
    photo = decode_photo(name, data)
    height, width, channels = photo.pixels.shape
    emit(
        'blurry',
        _preview(photo.pixels),
        type='image/jpeg',
        width=width,
        height=height,
        kind=f'{photo.format}, {_COLORS[channels]}, {8 * photo.pixels.itemsize} bit',
    )
    done = 0

    def progress(pixels: int) -> None:
        nonlocal done
        done += pixels
        emit('progress', share=done / (height * width))

    start = time.perf_counter()
    restored = inferencer.deblur(photo.pixels, options, progress)
    seconds = time.perf_counter() - start
    emit('restored', _preview(restored), type='image/jpeg', seconds=seconds)
    path = Path(name)
    emit(
        'file',
        photo.encode(restored),
        type=Image.MIME.get(photo.format, 'application/octet-stream'),
        name=f'{path.stem}_restored{path.suffix}',
    )
    if isinstance(inferencer.model.generator, SemanticGuided):
        picture = _draw_prior(inferencer.model, photo.pixels)
        emit('prior', picture, type='image/png')


def _preview(pixels: np.ndarray) -> bytes:
    """Encode the pixels of a photo as a JPEG, with transparent parts on white."""
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if image.mode in ('LA', 'RGBA'):
        white = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(white, image.convert('RGBA')).convert('RGB')
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    buffer = BytesIO()
    image.save(buffer, 'JPEG', quality=95, subsampling=0)
    return buffer.getvalue()


def _draw_prior(model: BaseModel, pixels: np.ndarray) -> bytes:
    """Draw the prior of a photo as a PNG; a large photo is reduced first to save time."""
    height, width, channels = pixels.shape
    scale = min(1, PRIOR_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    image = to_tensor(small.reshape(*size[::-1], channels))
    view = view_prior(model, image.to(next(model.parameters()).device))
    heading = f'{width}x{height} pixels'
    if scale < 1:
        heading += f', reduced to {size[0]}x{size[1]}'
    buffer = BytesIO()
    Image.fromarray(draw_rows(Palette([view]).rows(view), heading)).save(buffer, 'PNG')
    return buffer.getvalue()
