"""A page to deblur photos in the browser, and to compare them with what they were."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any, AsyncIterator, Callable

import cv2
import numpy as np
from mmengine.model import BaseModel
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from mmspd.apis.inferencer import DeblurInferencer, RestoreOptions
from mmspd.apis.photo_io import decode_photo, to_tensor
from mmspd.errors import UserError
from mmspd.models.guided import SemanticGuided
from mmspd.utils.cli import sentence_of
from mmspd.visualization import Palette, draw_rows, view_prior

__all__ = ['make_app']

PREVIEW_SIDE = 8192  # browsers do not show much more
PRIOR_SIDE = 512

# The page is complete in itself, and the browser lets it fetch nothing from elsewhere.
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src blob: data:; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
)

# by the number of channels
_COLORS = {1: 'gray', 2: 'gray with alpha', 3: 'RGB', 4: 'RGB with alpha'}

#: Sends a frame: a line of JSON, and as many bytes after it as its ``bytes`` says.
Emit = Callable[..., None]


class _ClientLeftError(Exception):
    """Nobody waits for the result any more."""


def make_app(inferencer: DeblurInferencer, max_bytes: int, options: RestoreOptions) -> Starlette:
    """Make the page and what answers it, to be served by any ASGI server.

    Photos and results are held in memory while they are worked on and nowhere else; photos are
    restored one after another.

    Args:
        inferencer: Restores.
        max_bytes: Larger files are refused.
        options: How to restore.

    Returns:
        ``GET /``: the page. ``GET /about``: the model and the limit. ``POST /restore?name=...``
        with a photo's file as body: a stream of frames.
    """
    page = Path(__file__).with_suffix('.html').read_text(encoding='utf-8')
    generator = inferencer.model.generator
    about = dict(
        model=Path(inferencer.cfg.filename or 'model').stem,
        device=str(next(generator.parameters()).device),
        guided=isinstance(generator, SemanticGuided),
        max_bytes=max_bytes,
    )
    in_turn = ThreadPoolExecutor(max_workers=1)

    async def show(_: Request) -> Response:
        return HTMLResponse(page, headers={'Content-Security-Policy': _POLICY})

    async def describe(_: Request) -> Response:
        return JSONResponse(about)

    async def restore(request: Request) -> Response:
        name = Path(request.query_params.get('name', 'photo')).name
        data = bytearray()
        try:
            async for chunk in request.stream():
                data += chunk
                if len(data) > max_bytes:
                    limit = f'{max_bytes / 1e6:.4g} MB, the limit of this page'
                    return JSONResponse(dict(error=f"'{name}' has more than {limit}"), 413)
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads

        def work(emit: Emit) -> None:
            try:
                _restore(inferencer, options, name, bytes(data), emit)
            except UserError as error:
                emit('error', sentence=sentence_of(error))

        return StreamingResponse(_frames(work, in_turn), media_type='application/octet-stream')

    return Starlette(
        routes=[
            Route('/', show),
            Route('/about', describe),
            Route('/restore', restore, methods=['POST']),
        ]
    )


async def _frames(
    work: Callable[[Emit], None], executor: ThreadPoolExecutor
) -> AsyncIterator[bytes]:
    """Yield what work emits in the executor; make it stop early if the client leaves."""
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
            yield frame
        await future  # raises what went wrong
    finally:
        left.set()
        future.cancel()


def _restore(
    inferencer: DeblurInferencer, options: RestoreOptions, name: str, data: bytes, emit: Emit
) -> None:
    """Restore a photo and emit all there is to show of it."""
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
    """Make a JPEG of pixels, as :class:`~mmspd.apis.photo_io.Photo` has them, alpha on white."""
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
    """Draw the prior of a photo, reduced to what is quickly done, as a PNG."""
    height, width, channels = pixels.shape
    scale = min(1, PRIOR_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    image = to_tensor(small.reshape(*size[::-1], channels))
    view = view_prior(model, image.to(next(model.parameters()).device))
    heading = f'{width}x{height} pixels'
    if scale < 1:
        heading += f', here reduced to {size[0]}x{size[1]}'
    buffer = BytesIO()
    Image.fromarray(draw_rows(Palette([view]).rows(view), heading)).save(buffer, 'PNG')
    return buffer.getvalue()
