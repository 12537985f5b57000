import io
import sys
from fractions import Fraction

import numpy as np
import pytest

from mmspd.apis.video import VIDEO_SUFFIXES, VideoInfo, read_video_info, restore_video
from mmspd.errors import UserError

TICKS = (0, 40, 80, 200, 240, 280)  # uneven frame times in milliseconds


@pytest.fixture
def av():
    return pytest.importorskip('av', reason='videos need PyAV (pip install av)')


@pytest.fixture
def make_video(av, tmp_path):
    """Return a function that makes a video with a red corner, brightening green, and a tone."""

    def make(
        name='in.mp4', codec='libx264', pix_fmt='yuv420p', size=(64, 48), turned=0, sound='aac'
    ):
        path = tmp_path / name
        with av.open(str(path), 'w') as container:
            picture = container.add_stream(codec, rate=25, options={'crf': '10'})
            picture.width, picture.height, picture.pix_fmt = *size, pix_fmt
            context = picture.codec_context
            context.time_base, context.colorspace, context.color_range = Fraction(1, 1000), 1, 1
            if turned:
                picture.set_display_rotation(turned)
            sound = container.add_stream('aac', rate=16000)
            container.metadata['title'] = 'Ein Titel'
            for number, tick in enumerate(TICKS):
                pixels = np.zeros((size[1], size[0], 3), np.uint8)
                pixels[..., 1] = 10 + 20 * number
                pixels[:16, :16] = (255, 0, 0)
                frame = av.VideoFrame.from_ndarray(pixels, 'rgb24').reformat(
                    format=pix_fmt, dst_colorspace=1, dst_color_range=1
                )
                frame.pts, frame.time_base = tick, Fraction(1, 1000)
                container.mux(picture.encode(frame))
            container.mux(picture.encode())
            tone = np.sin(np.arange(5120) * 2 * np.pi * 440 / 16000).astype(np.float32)
            for start in range(0, 5120, 1024):
                samples = av.AudioFrame.from_ndarray(
                    tone[None, start : start + 1024], 'fltp', 'mono'
                )
                samples.sample_rate, samples.pts = 16000, start
                container.mux(sound.encode(samples))
            container.mux(sound.encode())
        return path

    return make


def content(av, path):
    """RGB frames, their times, and the packets of the sound."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        times = [float(frame.pts * frame.time_base) for frame in frames]
        pixels = np.stack([frame.to_ndarray(format='rgb24') for frame in frames])
    with av.open(str(path)) as container:
        sound = [(packet.pts, bytes(packet)) for packet in container.demux(audio=0) if packet.size]
    return pixels.astype(int), times, sound


def properties(av, path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        return (
            context.name, context.pix_fmt, context.width, context.height, context.colorspace,
            context.color_range, next(container.decode(stream)).rotation,
            container.metadata['title'],
        )  # fmt: skip


@pytest.mark.parametrize('suffix', ['MTS', 'm2ts', 'm2t', '3gp', '3g2', 'flv'])
def test_containers_of_cameras_and_phones(av, make_video, tmp_path, suffix):
    source, target = make_video(f'in.{suffix}'), tmp_path / f'out.{suffix}'
    assert source.suffix.lower() in VIDEO_SUFFIXES
    restore_video(source, target, lambda frame: frame)
    before, after = content(av, source), content(av, target)
    assert len(after[0]) == len(TICKS)
    assert np.abs(after[0] - before[0]).mean() < 3
    assert [data for _, data in after[2]] == [data for _, data in before[2]]


@pytest.mark.parametrize(
    ('suffix', 'codec'),
    [('mpg', 'mpeg1video'), ('mpeg', 'mpeg2video'), ('vob', 'mpeg2video'), ('wmv', 'wmv2')],
)
def test_old_codecs_become_h264(av, tmp_path, suffix, codec):
    source, target = tmp_path / f'in.{suffix}', tmp_path / f'out.{suffix}'
    assert source.suffix in VIDEO_SUFFIXES
    with av.open(str(source), 'w') as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for number in range(5):
            pixels = np.full((48, 64, 3), 40 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, 'rgb24')
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    restore_video(source, target, lambda frame: frame)
    with av.open(str(target)) as container:
        frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == 'h264'
    assert [round(frame.mean() / 40) for frame in frames] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ('name', 'codec', 'pix_fmt'),
    [
        ('in.mp4', 'libx264', 'yuv420p'),
        ('in.mkv', 'libx264', 'yuv444p'),
        ('in.mov', 'libx265', 'yuv420p10le'),
    ],
)
def test_a_video_keeps_its_sound_times_and_kind(av, make_video, tmp_path, name, codec, pix_fmt):
    source, target = make_video(name, codec, pix_fmt), tmp_path / 'out' / name
    kinds = set()

    def swap(frame):
        kinds.add((frame.shape, frame.dtype))
        return frame[..., [1, 0, 2]]

    restore_video(source, target, swap)
    assert kinds == {((48, 64, 3), np.dtype(np.uint16 if '10' in pix_fmt else np.uint8))}
    assert properties(av, target) == properties(av, source)
    before, times, sound = content(av, source)
    after, after_times, after_sound = content(av, target)
    assert after_times == times == [tick / 1000 for tick in TICKS]
    assert after_sound == sound
    assert len(sound) >= 5
    assert np.abs(after[:, 4:12, 4:12] - (0, 255, 0)).max() < 12  # away from blurred color edges
    assert np.abs(after - before[..., [1, 0, 2]]).mean() < 5
    assert [path.name for path in target.parent.iterdir()] == [name]


@pytest.mark.parametrize(
    ('codec', 'pix_fmt', 'becomes'),
    [
        ('png', 'rgb24', 'yuv444p'),
        ('mjpeg', 'yuvj420p', 'yuvj444p'),
        ('prores_ks', 'yuv422p10le', 'yuv444p10le'),
    ],
)
def test_odd_sides_of_codecs_that_become_h264(av, make_video, tmp_path, codec, pix_fmt, becomes):
    source, target = make_video('in.mov', codec, pix_fmt, size=(63, 49)), tmp_path / 'out.mov'
    restore_video(source, target, lambda frame: frame)
    assert properties(av, target)[:4] == ('h264', becomes, 63, 49)
    before, after = content(av, source)[0], content(av, target)[0]
    assert np.abs(after - before).mean() < 3


def test_rgb_keeps_its_colors_as_yuv(av, make_video, tmp_path):
    source, target = make_video('in.mov', 'png', 'rgb24'), tmp_path / 'out.mov'
    restore_video(source, target, lambda frame: frame)
    assert properties(av, target)[:2] == ('h264', 'yuv420p')
    before, after = content(av, source)[0], content(av, target)[0]
    assert np.abs(after[:, 4:12, 4:12] - before[:, 4:12, 4:12]).max() < 12
    assert np.abs(after - before).mean() < 5


def test_a_rotated_video_is_restored_upright_and_looks_the_same(av, make_video, tmp_path):
    source = make_video(turned=-90)
    corners = []

    def look(frame):
        assert frame.shape == (64, 48, 3)
        corners.append(frame[4, -4].tolist())
        return frame

    assert read_video_info(source) == VideoInfo(len(TICKS), 64 * 48, quarter_turns=-1)
    restore_video(source, tmp_path / 'out.mp4', look)
    assert all(red > 200 and green < 40 for red, green, _ in corners)
    assert properties(av, tmp_path / 'out.mp4') == properties(av, source)
    assert np.abs(content(av, tmp_path / 'out.mp4')[0] - content(av, source)[0]).mean() < 5


def test_subtitles_are_kept(av, make_video, tmp_path):
    source, titled = make_video('in.mkv'), tmp_path / 'titled.mkv'
    text = io.BytesIO(b'1\n00:00:00,000 --> 00:00:00,200\nHello\n')
    with av.open(str(source)) as video, av.open(text) as titles, av.open(str(titled), 'w') as out:
        streams = {
            stream: out.add_stream_from_template(stream)
            for stream in (*video.streams, *titles.streams)
        }
        for packet in (*titles.demux(), *video.demux()):
            if packet.size:
                packet.stream = streams[packet.stream]
                out.mux(packet)
    restore_video(titled, tmp_path / 'out.mkv', lambda frame: frame)
    with av.open(str(tmp_path / 'out.mkv')) as container:
        texts = [bytes(packet) for packet in container.demux(subtitles=0) if packet.size]
    assert texts == [b'Hello']


@pytest.mark.parametrize('cut', [0, 200, 1500])
def test_damaged_videos(make_video, tmp_path, cut):
    path = make_video()
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"The video '.*in.mp4' cannot be restored \(Invalid data"):
        restore_video(path, tmp_path / 'out.mp4', lambda frame: frame)
    assert [entry.name for entry in tmp_path.iterdir()] == ['in.mp4']


def test_an_interruption_leaves_no_file(make_video, tmp_path):
    def interrupted(frame):
        raise KeyboardInterrupt

    path = make_video()
    with pytest.raises(KeyboardInterrupt):
        restore_video(path, tmp_path / 'out.mp4', interrupted)
    assert [entry.name for entry in tmp_path.iterdir()] == ['in.mp4']


def test_without_pyav(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'av', None)
    with pytest.raises(UserError, match=r"a.mp4' is a video, and videos need .* pip install av"):
        read_video_info(tmp_path / 'a.mp4')
