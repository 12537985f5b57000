"""Run the examples of the docstrings and of the manual's pages as tests.

The blocks of a page run in a copy of the repository with tiny data and short recipes.
"""

import doctest
import functools
import glob
import multiprocessing
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest.mock
from pathlib import Path

from sybil import Sybil
from sybil.evaluators.doctest import DocTestEvaluator
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.abstract.doctest import DocTestStringParser
from sybil.parsers.markdown import CodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser

from mmspd.__main__ import COMMANDS, find_command

REPOSITORY = Path(__file__).resolve().parents[1]
COPIED = ('configs', 'tools', 'projects', 'README.md')
CHECKPOINTS = {
    'mimounet_gopro': 'epoch_3000',
    'mimounet_sp_gopro': 'epoch_3000',
    'quickstart': 'epoch_8',
}
SIZE = (48, 64)  # height and width of every image
LONGEST = 240  # seconds of one command


def write_images(folder, names, blur=1):
    """Write color images, the same for the same number, blurred along the rows."""
    import cv2
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        coarse = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), cv2.blur(cv2.resize(coarse, SIZE[::-1]), (blur, 1)))


def write_data(root):
    """Write the data that the manual names, a few tiny images of each kind."""
    frames = [f'{number:06d}.png' for number in range(2)]
    for data in ('GOPRO_Large', 'quickstart'):
        for split in ('train', 'test'):
            scene = root / 'data' / data / split / 'GOPR0001_11_00'
            for kind, blur in (('blur', 7), ('blur_gamma', 7), ('sharp', 1)):
                write_images(scene / kind, frames, blur)
    for kind, blur in (('blur', 7), ('GT', 1)):
        folder = root / 'data' / 'HIDE'
        write_images(
            folder / 'test' / 'test-close-ups' if blur > 1 else folder / kind, frames, blur
        )
    for split in ('train', 'test'):
        for kind, name, blur in (('input', 'blur', 7), ('target', 'sharp', 1)):
            write_images(root / 'my' / 'pairs' / split / kind, frames, blur)
            write_images(root / 'my' / 'names' / split, [f'{n}_{name}.png' for n in '01'], blur)
        write_images(root / 'my' / 'photos' / split, frames)
    write_images(root / 'my_photos', ['street.jpg', 'face.png'], 7)


def write_checkpoint(root, recipe, name):
    """Write a checkpoint of a shortened recipe with random weights."""
    import torch
    from mmengine.config import Config

    from mmspd.apis import init_model

    torch.manual_seed(0)
    folder = root / 'work_dirs' / recipe
    folder.mkdir(parents=True)
    config = Config.fromfile(REPOSITORY / 'configs' / 'spd' / f'{recipe}.py')
    shrink_generator(config)
    model = init_model(config)
    torch.save({'state_dict': model.state_dict()}, folder / f'{name}.pth')
    (folder / 'last_checkpoint').write_text(str(folder / f'{name}.pth'))


@functools.lru_cache(maxsize=1)
def template():
    """A folder with everything that pages start from, made once per process."""
    folder = tempfile.TemporaryDirectory(prefix='manual_')
    root = Path(folder.name)
    write_data(root)
    for recipe, name in CHECKPOINTS.items():
        write_checkpoint(root, recipe, name)
    ignored = shutil.ignore_patterns('__pycache__')
    for name in COPIED:
        source = REPOSITORY / name
        copy = (
            functools.partial(shutil.copytree, ignore=ignored) if source.is_dir() else shutil.copy
        )
        copy(source, root / name)
    return folder  # deletes itself at the end of the process


def shrink_generator(config):
    """Reduce the restorer and the number of blocks of the extractor of the prior."""
    from restorer_contract import make_small, tested_restorers

    generator = config.get('model', {}).get('generator', {})
    restorer = generator.get('restorer', generator)
    if restorer.get('type') == 'mmspd.MIMOUNet':
        restorer.num_res = 1
    elif restorer.get('type') in tested_restorers():
        make_small(restorer)
    if 'num_blocks' in generator.get('prior', {}).get('extractor', {}):
        generator.prior.extractor.num_blocks = (1, 1, 1)


def shorten(path):
    """Rewrite a recipe: few blocks, tiny crops, two steps, random weights, a small teacher."""
    from mmengine.config import Config
    from restorer_contract import shrink_teacher
    from training_step import randomize_weights

    config = Config.fromfile(path)
    official = config.get('model', {}).get('load_official')
    randomize_weights(config)
    shrink_generator(config)
    if official:
        config.model.load_official = official
    shrink_teacher(config.get('model', {}))
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        config[loader].update(num_workers=0, persistent_workers=False)
    train = config.train_dataloader
    train.batch_size = 1
    if 'times' in train.dataset:
        train.dataset.times = 1
    dataset = train.dataset.get('dataset', train.dataset)
    for step in dataset.pipeline:
        if 'gt_patch_size' in step:
            sizes = step.gt_patch_size
            step.gt_patch_size = 32 if isinstance(sizes, int) else [32] * len(sizes)
    for metric in config.test_evaluator.metrics:
        if 'workers' in metric:
            metric.workers = 0
    config.train_cfg.update(max_epochs=1, val_interval=1)
    config.dump(path)


def used_folders_allowed():
    """Let runs start in used folders.

    The template has the checkpoints of complete runs, and a page may show several ways to train a
    recipe.
    """
    return unittest.mock.patch('mmspd.engine.checkpoint_hook.check_unused')


def configs_of(folder):
    """Let names of recipes stand for the configs of a page, which are short and small."""
    return unittest.mock.patch('mmspd.utils.package_files._PACKAGE', Path(folder, 'mmspd'))


def run_script(script, arguments, log, folder, environment):
    """Run a Python file in a folder as a process of its own does, its output in a file."""
    import support

    os.chdir(folder)
    used_folders_allowed().start()
    configs_of(folder).start()
    support.run_tool(script, arguments, log, **environment)


class Page:
    """A folder of its own for one page; the page's blocks run in it in their order."""

    def __init__(self, folder):
        self.folder = folder / 'page'
        self.environment = {}
        self._shortened = set()

    def __enter__(self):
        self._before = os.getcwd()
        shutil.copytree(template().name, self.folder)
        os.chdir(self.folder)
        self._patches = [used_folders_allowed(), configs_of(self.folder)]
        for patch in self._patches:
            patch.start()
        sys.path.insert(0, str(self.folder))  # as the pages' `export PYTHONPATH=$PWD` does
        return self

    def __exit__(self, *error):
        sys.path.remove(str(self.folder))
        for patch in self._patches:
            patch.stop()
        os.chdir(self._before)

    def run(self, block):
        """Run a block of shell commands; a command that fails fails the test."""
        for line in block.replace('\\\n', ' ').splitlines():
            self._run_line(line)

    def _run_line(self, line):
        words = shlex.split(line, comments=True)
        assignments = {}
        is_export = words[:1] == ['export']
        words = words[is_export:]
        while words and re.match(r'[A-Za-z_]+=', words[0]):
            name, value = self._expand([words.pop(0)])[0].split('=', 1)
            assignments[name] = value
        if not words:
            self.environment.update(assignments)
        if not words or words[0] == 'source':
            return
        environment = {**self.environment, **assignments}
        if words[0] == 'mmspd' and '|' not in words:
            command, arguments = find_command(words[1:])
            words = ['python', f'tools/{COMMANDS[command][0]}', *arguments]
        if words[0] == 'python' and words[1].endswith('.py') and '|' not in words:
            words = self._expand(words)
            self.shorten(words[2:], environment)
            code, output = self._run_python(words[1], words[2:], environment)
        else:
            code, output = self._run_bash(line, environment)
        print(output)
        assert code == 0, f'{line}\nended with exit code {code}:\n{output}'

    def _expand(self, words):
        """Expand variables and patterns as the shell does."""
        expanded = []
        for word in words:
            for name, value in {'PWD': str(self.folder), **self.environment}.items():
                word = word.replace(f'${name}', value)
            expanded += sorted(glob.glob(word)) if '*' in word else [word]
        return expanded

    def write(self, name, text):
        """Write a file that the page shows."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self._shortened.discard(path)

    def shorten(self, words, environment=None):
        """Shorten the recipes among the words, each once."""
        for word in words:
            named = re.fullmatch(r'[\w-]+', word)
            path = self.folder / (f'configs/spd/{word}.py' if named else word)
            is_config = self.folder / 'configs' in path.parents and path.is_file()
            if is_config and path not in self._shortened:
                self._shortened.add(path)
                with unittest.mock.patch.dict(os.environ, environment or {}):
                    shorten(path)

    def _run_python(self, script, arguments, environment):
        log = self.folder.parent / 'output.log'
        process = multiprocessing.get_context('forkserver').Process(
            target=run_script,
            args=(str(self.folder / script), arguments, str(log), str(self.folder), environment),
        )
        process.start()
        process.join(LONGEST)
        if process.is_alive():
            process.kill()
        process.join()
        return process.exitcode, log.read_text()

    def _run_bash(self, line, environment):
        tools = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
        result = subprocess.run(
            ['bash', '-euo', 'pipefail', '-c', line],
            env={**os.environ, 'PATH': tools, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        return result.returncode, result.stdout


class PythonBlockParser(CodeBlockParser):
    """Runs ``python`` blocks, or writes them to the file that their first line names."""

    language = 'python'

    def evaluate(self, example):
        """Run or write one block."""
        page, text = example.namespace['page'], example.parsed
        file = re.match(r'# (\S+\.py)\n', text)
        if file:
            compile(text, file[1], 'exec')
            page.write(file[1], text)
            return
        page.shorten(re.findall(r"configs/[\w/.-]+\.py|(?<=')[\w-]+(?=')", text))
        PythonEvaluator()(example)


class ShellBlockParser(CodeBlockParser):
    """Runs ``bash`` blocks in the page's folder."""

    language = 'bash'

    def evaluate(self, example):
        """Run one block."""
        example.namespace['page'].run(example.parsed)


class ConsoleBlockParser:
    """Checks the ``>>>`` examples of ``pycon`` blocks."""

    def __init__(self, optionflags):
        self._blocks = CodeBlockParser('pycon', lambda example: None)
        self._examples = DocTestStringParser(DocTestEvaluator(optionflags))

    def __call__(self, document):
        """Return the examples of a page."""
        for block in self._blocks(document):
            for example in self._examples(block.parsed, document.path):
                example.adjust(block, block.parsed)
                yield example


_OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_PAGES = Sybil(
    parsers=[
        ConsoleBlockParser(_OPTIONS),
        PythonBlockParser(),
        ShellBlockParser(),
        SkipParser(),
    ],
    patterns=['*.md'],
    excludes=['.github/*/*', 'docs/results/*/*'],
    fixtures=['page'],
    path=str(REPOSITORY),
)
_DOCSTRINGS = Sybil(
    parsers=[DocTestParser(_OPTIONS)],
    patterns=['*.py'],
    excludes=['test_*.py'],
    path=str(REPOSITORY),
)
EXAMPLES = _PAGES + _DOCSTRINGS
