"""Serve a web page that deblurs photos and compares the results with the originals."""

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
from mmspd.datasets.photo_io import decode_photo, to_tensor
from mmspd.errors import UserError
from mmspd.models.guided import SemanticGuided
from mmspd.utils.cli import sentence_of
from mmspd.visualization import Palette, draw_rows, view_prior

__all__ = ['make_app']

PREVIEW_SIDE = 8192  # pixels; browsers cannot show much larger images
PRIOR_SIDE = 512  # pixels; a larger photo is reduced before its prior is drawn

# Content security policy: the browser loads resources from this server only.
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src blob: data:; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
)

# names of the colors, by number of channels
_COLORS = {1: 'gray', 2: 'gray with alpha', 3: 'RGB', 4: 'RGB with alpha'}

#: Function that sends a frame. A frame is a line of JSON and a payload. The value ``bytes`` in
#: the JSON is the length of the payload.
Emit = Callable[..., None]


class _ClientLeftError(Exception):
    """The client has closed the connection."""


def make_app(inferencer: DeblurInferencer, max_bytes: int, options: RestoreOptions) -> Starlette:
    """Create the web application, which any ASGI server can serve.

    Photos and results are kept in memory during a request. They are never written to the disk. The
    photos are restored one at a time.

    Args:
        inferencer: The inferencer that restores the photos.
        max_bytes: Size limit of a photo file, in bytes.
        options: Options of the restoration.

    Returns:
        An application with three routes. ``GET /`` returns the page. ``GET /about`` returns the
        model and the limit as JSON. ``POST /restore?name=...`` takes a photo file as its body and
        returns a stream of frames.
    """
    page = Path(__file__).with_suffix('.html').read_text(encoding='utf-8')
    generator = inferencer.model.generator
    about = dict(
        model=Path(inferencer.cfg.filename or 'model').stem,
        device=str(next(generator.parameters()).device),
        guided=isinstance(generator, SemanticGuided),
        max_bytes=max_bytes,
    )
    executor = ThreadPoolExecutor(max_workers=1)  # one photo at a time

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
                    error = (
                        f"'{name}' is larger than {max_bytes / 1e6:.4g} MB, the limit of this "
                        'page; choose a smaller file, or restart the page with a larger '
                        '--max-megabytes.'
                    )
                    return JSONResponse(dict(error=error), 413)
        except ClientDisconnect:
            return Response(status_code=400)  # the client has left and will not read it

        def work(emit: Emit) -> None:
            try:
                _restore(inferencer, options, name, bytes(data), emit)
            except UserError as error:
                emit('error', sentence=sentence_of(error))

        return StreamingResponse(_frames(work, executor), media_type='application/octet-stream')

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
            yield frame
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
