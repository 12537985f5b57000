"""Restore the frames of a video and keep its sound, subtitles and timing."""

import errno
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, NamedTuple

import numpy as np

from mmspd.errors import UserError
from mmspd.utils.files import atomic_path

__all__ = ['VIDEO_SUFFIXES', 'VideoInfo', 'read_video_info', 'restore_video']

VIDEO_SUFFIXES = (
    *('.mp4', '.m4v', '.mov', '.mkv', '.webm', '.avi'),
    *('.mts', '.m2ts', '.m2t', '.3gp', '.3g2', '.mpg', '.mpeg', '.vob', '.wmv', '.asf', '.flv'),
)

# Encoders and visually lossless settings for the codecs that are kept. Other codecs become H.264,
# or VP9 in WebM files, which cannot contain H.264.
_ENCODERS: Dict[str, Any] = {
    'h264': ('libx264', {'crf': '17'}),
    'hevc': ('libx265', {'crf': '19', 'x265-params': 'log-level=none'}),
    'vp9': ('libvpx-vp9', {'crf': '20', 'b:v': '0'}),
    'av1': ('libsvtav1', {'crf': '22'}),
}
_COLOR = ('color_range', 'colorspace', 'color_primaries', 'color_trc')


class VideoInfo(NamedTuple):
    """Properties of a video.

    Attributes:
        frames: Number of frames. It is estimated if the container does not state it.
        pixels: Number of pixels of a frame.
        quarter_turns: Number of quarter turns to the left that make the stored frames upright.
    """

    frames: int
    pixels: int
    quarter_turns: int


def read_video_info(path: Path) -> VideoInfo:
    """Read the header and the first frame of a video.

    Args:
        path: The video.

    Returns:
        The number, the size and the rotation of the frames.

    Raises:
        UserError: The video cannot be decoded, or PyAV is missing.
    """
    av = _import_av(path)
    try:
        with av.open(str(path)) as container:
            stream = _video_stream(container, path)
            frames = stream.frames
            if not frames and container.duration and stream.average_rate:
                frames = round(container.duration / av.time_base * stream.average_rate)
            frame = next(container.decode(stream), None)
    except av.FFmpegError as error:
        raise _video_error(path, error) from error
    if frame is None:
        raise _video_error(path, 'it has no frames')
    return VideoInfo(frames, frame.width * frame.height, round(frame.rotation / 90))


def restore_video(source: Path, target: Path, restore: Callable[[np.ndarray], np.ndarray]) -> None:
    """Restore each frame of a video separately.

    The result keeps the codec (H.264, HEVC, VP9 or AV1), pixel format, color range and color space,
    rotation, frame times, chapters and metadata of the source. Sound and subtitles are copied
    without a change. If an error occurs, no partial file is left.

    Args:
        source: A video that PyAV (FFmpeg) can decode.
        target: File to write. Its suffix selects the container.
        restore: Function that restores a frame. It takes and returns an upright frame
            ``(H, W, 3)``, RGB, uint8, or uint16 for videos of more than 8 bits.

    Raises:
        UserError: The video cannot be decoded or written, or PyAV is missing.
    """
    av = _import_av(source)
    turns = read_video_info(source).quarter_turns
    with atomic_path(target) as temporary:
        try:
            with av.open(str(source)) as reader, av.open(str(temporary), 'w') as writer:
                _transcode(av, reader, writer, restore, turns)
        except av.FFmpegError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):  # atomic_path reports a full disk
                raise OSError(error.errno, error.strerror) from error
            raise _video_error(source, error) from error


def _transcode(
    av: ModuleType, reader: Any, writer: Any, restore: Callable[..., np.ndarray], turns: int
) -> None:
    """Decode, restore and encode the frames, and copy the packets of the other streams."""
    stream = _video_stream(reader, reader.name)
    encoded = _add_video(av, writer, stream, turns)
    copied = {
        other.index: writer.add_stream_from_template(other)
        for other in reader.streams
        if other.type in ('audio', 'subtitle', 'attachment')
    }
    writer.metadata.update(reader.metadata)
    writer.set_chapters(reader.chapters())
    for packet in reader.demux(stream, *(reader.streams[index] for index in copied)):
        if packet.stream is stream:
            for frame in packet.decode():
                writer.mux(encoded.encode(_restore_frame(av, frame, restore, turns)))
        elif packet.size:  # an empty packet marks the end
            packet.stream = copied[packet.stream.index]
            writer.mux(packet)
    writer.mux(encoded.encode())


def _restore_frame(
    av: ModuleType, frame: Any, restore: Callable[..., np.ndarray], turns: int
) -> Any:
    deep = max(component.bits for component in frame.format.components) > 8
    rgb = 'rgb48le' if deep else 'rgb24'
    upright = np.ascontiguousarray(np.rot90(frame.to_ndarray(format=rgb), turns))
    pixels = np.ascontiguousarray(np.rot90(restore(upright), -turns))
    restored = av.VideoFrame.from_ndarray(pixels, rgb).reformat(
        format=frame.format, dst_colorspace=frame.colorspace, dst_color_range=frame.color_range
    )
    restored.pts, restored.time_base = frame.pts, frame.time_base
    return restored


def _add_video(av: ModuleType, writer: Any, source: Any, turns: int) -> Any:
    """Add a video stream with the properties of the source."""
    old = source.codec_context
    codec = old.name if old.name in _ENCODERS else 'h264'
    if writer.format.name == 'webm' and codec == 'h264':
        codec = 'vp9'
    name, options = _ENCODERS[codec]
    stream = writer.add_stream(name, options=options)
    new = stream.codec_context
    new.width, new.height = old.width, old.height
    new.time_base = source.time_base
    if source.average_rate:  # some containers do not state it
        new.framerate = source.average_rate
    new.pix_fmt = _pixel_format(av, old, name)
    new.sample_aspect_ratio = source.sample_aspect_ratio or Fraction(1)
    # the color range and space of an RGB source do not apply to a YUV result
    same = not old.format.is_rgb or av.VideoFormat(new.pix_fmt).is_rgb
    for key in _COLOR if same else _COLOR[2:]:
        setattr(new, key, getattr(old, key))
    if turns:
        stream.set_display_rotation(90 * turns)
    stream.metadata.update(source.metadata)
    return stream


def _pixel_format(av: ModuleType, old: Any, encoder: str) -> str:
    """Return the source's pixel format, or another one if the encoder does not support it."""
    formats = [fmt.name for fmt in av.Codec(encoder, 'w').video_formats]
    name = old.pix_fmt if old.pix_fmt in formats else 'yuv420p'
    chroma = av.VideoFormat(name, old.width, old.height).components[-1]
    halved = (old.width % 2 and chroma.width < old.width) or (
        old.height % 2 and chroma.height < old.height
    )
    if encoder == 'libx264' and halved:  # only x264 needs even sides to halve the color resolution
        return 'yuv444p10le' if old.format.components[0].bits > 8 else 'yuv444p'
    return name


def _video_stream(container: Any, path: Any) -> Any:
    stream = container.streams.best('video')
    if stream is None:
        raise _video_error(path, 'it has no video stream')
    return stream


def _video_error(path: Any, reason: Any) -> UserError:
    reason = getattr(reason, 'strerror', reason)  # str of an FFmpeg error repeats the file name
    return UserError(
        f"The video '{path}' cannot be restored ({reason}); copy it again or convert it."
    )


def _import_av(path: Path) -> ModuleType:
    try:
        import av  # optional: only videos need it
    except ModuleNotFoundError as error:
        raise UserError(
            f"'{path}' is a video, and videos need the package PyAV; run pip install av."
        ) from error
    return av
