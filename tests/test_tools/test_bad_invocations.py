"""Wrong arguments and configs end with one sentence and the right exit code, in every tool."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from mmengine.visualization import Visualizer

from conftest import config_text
from mmspd.apis import init_model

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
RUNTIME = TOOLS.parent / 'configs' / '_base_' / 'default_runtime.py'
CONFIGS = {
    'syntax.py': 'model = dict(',
    'raises.py': 'raise ValueError("no")',
    'exits.py': 'import sys\nsys.exit(0)',
    'imports.py': '_base_ = []\nimport no_such_package\nmodel = no_such_package.x',
    'itself.py': "_base_ = './itself.py'",
    'baseless.py': "_base_ = './nothing.py'",
    'latin.py': '# \xe9t\xe9\nmodel = None',
    'empty.py': '',
    'number.py': 'model = 5',
    'config.toml': 'model = 5',
}

#: A row has the tool, its arguments, the exit code, and words of the sentence. The tiny config,
#: its checkpoint, a photo and a folder of pairs are {c}, {k}, {p} and {d}. The working folder also
#: has the configs above, text.txt and the empty folder void.
TRAIN = ('train.py', '{c} --work-dir w --cfg-options ')
TEST = ('test.py', '{c} {k} --work-dir w ')
DEBLUR = ('deblur.py', '{c} {k} {p} --device cpu ')
WEBUI = ('webui.py', '{c} {k} ')
PRIOR = ('analysis/show_prior.py', '{c} {k} {p} ')
SYNTHESIZE = ('dataset_converters/synthesize_blur.py', '{d} new ')
EXPORT = ('deployment/export.py', '{c} {k} ')
SHARE = 'weights.py', 'push {c} '
CHECK = ('dataset_converters/check.py', '{d} ')
PACK = ('dataset_converters/pack.py', '{d} ')
ROWS = [
    # configs
    ('train.py', 'syntax.py', 2, 'syntax.py is not a valid config (SyntaxError: '),
    ('train.py', 'raises.py', 2, 'raises.py is not a valid config (ValueError: no); correct it.'),
    ('test.py', 'exits.py {k}', 2, 'exits.py is not a valid config (SystemExit: 0)'),
    ('deblur.py', 'imports.py {k} {p} --out-dir new', 2, 'No module named'),
    ('train.py', 'itself.py', 2, 'itself.py inherits itself; correct its _base_.'),
    ('train.py', 'baseless.py', 2, 'nothing.py'),
    ('analysis/print_config.py', 'latin.py', 2, 'latin.py is not a valid config (UnicodeDecodeErr'),
    ('train.py', 'empty.py --work-dir w', 2, 'empty.py has no model; add it'),
    ('train.py', 'number.py', 2, 'model=5 is not a dict or None'),
    ('train.py', 'config.toml', 2, 'config.toml is not a valid config'),
    ('train.py', 'tinny.py', 2, 'does not exist; check the path (similar names: tiny.py, '),
    ('train.py', 'void', 2, 'The config void is a folder'),
    ('train.py', 'tiny.py/x', 2, 'The config tiny.py/x does not exist'),
    ('train.py', 'x' * 300 + '.py', 2, '.py does not exist'),
    (
        'deblur.py',
        f'{RUNTIME} {{k}} {{p}} --out-dir new',
        2,
        'default_runtime.py has no model',
    ),
    ('webui.py', f'{RUNTIME} {{k}} --port 0', 2, 'default_runtime.py has no model'),
    ('analysis/complexity.py', f'{RUNTIME}', 2, 'default_runtime.py has no model.generator'),
    ('analysis/show_prior.py', 'empty.py {k} {p} --out new', 2, 'empty.py has no model'),
    ('deployment/export.py', f'{RUNTIME} {{k}} new.onnx', 2, 'default_runtime.py has no model'),
    ('quickstart_report.py', 'empty.py {k} --out-dir new', 2, 'empty.py has no model.prior_loss'),
    ('benchmark/train_step.py', 'empty.py', 2, 'empty.py has no model'),
    ('analysis/severity.py', 'empty.py --out new.jsonl', 2, 'has no train_dataloader; set --split'),
    # values of a config
    (*TRAIN, 'train_cfg.max_epochs=-1', 2, 'train_cfg.max_epochs=-1 is not a whole number of 1'),
    (*TRAIN, 'train_cfg.max_epochs=one', 2, "train_cfg.max_epochs='one' is not a whole number"),
    (*TRAIN, 'train_cfg.val_interval=0', 2, 'train_cfg.val_interval=0 is not a whole number'),
    (*TRAIN, 'train_cfg.max_epoch=1', 2, "Loop (train_cfg) has no argument 'max_epoch' (similar"),
    (*TRAIN, 'train_dataloader.batch_size=0', 2, 'train_dataloader.batch_size=0 is not a whole'),
    (*TRAIN, 'train_dataloader.num_workers=-1', 2, 'num_workers=-1 is not a whole number of 0'),
    (*TRAIN, 'train_dataloader=5', 2, 'train_dataloader=5 is not a dict'),
    (*TRAIN, 'train_dataloader.dataset.data_root=', 2, "data_root='' is not a path"),
    (*TRAIN, 'train_dataloader.dataset.indices=x', 2, "built with data_root='"),
    (*TRAIN, 'optim_wrapper.optimizer.lr=abc', 2, "optim_wrapper.optimizer.lr='abc' is not a fini"),
    (
        *TRAIN,
        'optim_wrapper.clip_grad.norm_type=2',
        2,
        "{'norm_type': 2} is not a dict with max",
    ),
    (
        *TRAIN,
        'optim_wrapper.clip_grad.foo=1',
        2,
        "clip_grad={'foo': 1} is not a dict with",
    ),
    (*TRAIN, 'default_scope=xx', 2, "default_scope='xx' is not the name of an installed package"),
    (*TRAIN, 'val_cfg.fp16=x', 2, "val_cfg.fp16='x' is not True or False"),
    (*TRAIN, 'model.generator.width=0', 2, 'model.generator.width=0 is not a whole number of 1'),
    (*TRAIN, 'train_dataloader.dataset.pipeline=[]', 2, 'pipeline=[] is not a list of transforms'),
    (*TRAIN, 'optim_wrapper.optimizer.lr=nan', 2, 'optim_wrapper.optimizer.lr=nan is not a fini'),
    (*TRAIN, 'optim_wrapper.optimizer.lr=-1', 2, 'optim_wrapper.optimizer.lr=-1 is not a finite'),
    (*TRAIN, 'optim_wrapper.optimizer.type=Adamm', 2, "type='Adamm' is not an optimizer; check"),
    (*TRAIN, 'optim_wrapper.optimizer.betas=3', 2, 'Adam cannot be built with lr=0.002, betas=3'),
    (*TRAIN, 'load_from=5', 2, 'load_from=5 is not a path or None'),
    (*TRAIN, 'load_from=none.pth', 2, 'The checkpoint of load_from none.pth does not exist'),
    (
        *TRAIN,
        'default_hooks.logggr.interval=5',
        2,
        'the spelling of logggr (similar names: logger)',
    ),
    (*TRAIN, 'randomness.seed=-1', 2, 'randomness.seed=-1 is not a whole number from 0'),
    (*TRAIN, 'model.generator.base=x', 2, 'mmspd.MIMOUNet (model.generator) cannot be built with'),
    (*TRAIN, 'val_cfg=None', 2, 'val_dataloader is set, but val_cfg is not; set all of'),
    (*TRAIN, 'val_evaluator=5', 2, 'evaluator must be one of dict, list or Evaluator'),
    (*TRAIN, 'val_evaluator.metrics.0.type=PSNR', 2, "is MMagic's PSNR, which mmengine.Evaluator"),
    (*TRAIN, 'auto_scale_lr.enable=True', 2, 'needs auto_scale_lr.base_batch_size'),
    (*TRAIN, 'visualizer.vis_backends.1.type=ClearMLVisBackend', 1, 'run pip install clearml.'),
    # arguments
    ('train.py', '', 2, 'the following arguments are required: config'),
    ('train.py', '{c} --work-dir text.txt', 2, 'work folder text.txt cannot be created'),
    ('train.py', '{c} --work-dir w --resume none.pth', 2, 'The checkpoint none.pth does not exist'),
    (*TEST, '--tile -5', 2, "'-5' is not a tile size"),
    (*TEST, '--tile 1', 2, 'tile=1 is invalid'),
    (*TEST, '--out text.txt', 2, '--out: text.txt is not a folder'),
    (*TEST, '--launcher slurm', 2, '--launcher slurm needs an accelerator'),
    (*TEST, '--test-on nothing', 2, "There is no 'nothing' among the datasets"),
    (*TEST, '--cfg-options test_dataloader.batch_size=0', 2, 'test_dataloader.batch_size=0 is not'),
    ('test.py', '{c} damaged.pth --work-dir w', 1, 'damaged.pth cannot be read'),
    ('deblur.py', '{c} tinny.pth {p} --out-dir new', 2, 'path (similar names: tiny.pth, '),
    (
        'deblur.py',
        '{c} damaged.pth {p} --out-dir new --device cpu',
        1,
        'damaged.pth cannot be read',
    ),
    ('deblur.py', '{c} {k} {p} --out-dir new --device cuda', 2, "The device 'cuda' cannot be used"),
    ('deblur.py', '{c} {k} {p} --out-dir new --device xpu', 2, "The device 'xpu' cannot be used"),
    ('deblur.py', '{c} {k} {p} --out-dir new --device 1.5', 2, "The device '1.5' cannot be used"),
    (*DEBLUR, '--out-dir=', 2, 'The argument after --out-dir is empty'),
    (*DEBLUR, '--out-dir text.txt', 2, '--out-dir: text.txt is not a folder'),
    (*DEBLUR, '--out-dir new --batch 0', 2, '0 is too small; use 1 or more'),
    (*DEBLUR, '--out-dir new --memory-budget 0', 2, '0 is no memory'),
    ('deblur.py', '{c} {k} none.png --out-dir new', 2, "'none.png' does not exist"),
    (*DEBLUR, '--out-dir new\0b', 2, 'has a null character'),
    (*DEBLUR, '--out-dir w --tile 3', 2, 'tile=3 is invalid'),
    ('deblur.py', '{c} {k} text.txt --out-dir w --device cpu', 1, "'text.txt' is damaged or not"),
    (*WEBUI, '--port 99999', 2, '--port 99999 is too large; use 0 to 65535.'),
    (*WEBUI, '--port -1', 2, '-1 is too small; use 0 or more'),
    (*WEBUI, '--max-megabytes nan', 2, 'nan is not a finite number greater than 0'),
    ('webui.py', '{c} none.pth --port 0', 2, 'The checkpoint none.pth does not exist'),
    ('quickstart_data.py', 'text.txt', 2, 'text.txt is not a folder'),
    ('quickstart_data.py', '{d}', 2, 'contains other files'),
    ('analysis/compare.py', 'none', 2, "Cannot read the result 'none"),
    ('analysis/compare.py', 'none --paper-table x', 2, "invalid int value: 'x'"),
    ('analysis/complexity.py', '{c} --size 0 1', 2, '0 is too small; use 1 or more'),
    ('analysis/print_config.py', '{c} --save new.txt', 2, "'new.txt' has an unknown suffix; use"),
    ('analysis/recipes.py', 'x', 2, 'unrecognized arguments: x'),
    ('analysis/severity.py', '{d} --out new.jsonl --split x', 2, "data sets of the split 'x'"),
    ('analysis/severity.py', '{d} --out void', 2, '--out: void is a folder; give a file'),
    (*PRIOR, '--out new', 2, 'has no guided generator'),
    (*PRIOR, '--out new --crop 0', 2, 'expected 4 arguments'),
    (*PRIOR, '--out new --crop 0 0 0 0', 2, "--crop 0 0 0 0 is not inside '"),
    (*PRIOR, '--out new --sharp none.png', 2, 'The photo none.png does not exist'),
    ('analysis/score.py', 'nowhere --out new', 2, "The folder 'nowhere' of restored images does"),
    ('analysis/score.py', 'void --out text.txt', 2, '--out: text.txt is not a folder'),
    ('analysis/score.py', 'void --out new --protocol x', 2, "There is no 'x' among the protocols"),
    ('benchmark/blur_synthesis.py', '--batch 0', 2, '0 is too small; use 1 or more'),
    ('benchmark/ceilings.py', '--device xpu', 2, "The device 'xpu' cannot be used"),
    ('benchmark/data_loading.py', '--workers 0', 2, '0 is too small; use 1 or more'),
    ('benchmark/data_loading.py', '--needed inf', 2, 'inf is not a finite number greater than 0'),
    ('benchmark/inference.py', 'none', 2, 'none_gopro.py does not exist'),
    ('benchmark/inference.py', 'unet --device xpu', 2, "The device 'xpu' cannot be used"),
    ('benchmark/overhead.py', 'unet --size 0 1', 2, '0 is too small; use 1 or more'),
    ('benchmark/overhead.py', '{c}', 2, 'the counterpart of'),
    ('benchmark/performance_page.py', 'x', 2, 'unrecognized arguments: x'),
    ('benchmark/suite.py', '--minutes 0 --out new', 2, '0 is not a finite number greater than'),
    ('benchmark/suite.py', '--minutes 0.1 --out new', 2, '--minutes 0.1 is too short, because the'),
    ('benchmark/suite.py', '--device cuda --out new', 2, 'PyTorch finds no GPU; use --device cpu'),
    ('benchmark/train_step.py', '{c} --json void', 2, '--json: void is a folder; give a file'),
    ('benchmark/training_run.py', 'none', 2, 'The config none.py does not exist'),
    (*CHECK, '--crop 0', 2, '--crop: 0 is too small; use 1 or more'),
    (*CHECK, '--workers -1', 2, '--workers: -1 is too small; use 0 or more'),
    ('dataset_converters/check.py', 'nowhere', 2, 'The data folder nowhere does not exist'),
    (*PACK, 'text.txt', 2, 'OUT_FOLDER: text.txt is not a folder'),
    (*PACK, 'new --split x', 2, 'has no data for this --split'),
    ('dataset_converters/pack.py', 'text.txt new', 2, 'The data folder text.txt is a file'),
    (*SYNTHESIZE, '--per-image 0', 2, '0 is too small; use 1 or more'),
    (*SYNTHESIZE, '--split-ratio nan', 2, 'nan is not a number from 0 to 1'),
    (*SYNTHESIZE, '--extent 5 2', 2, 'The extent (5.0, 2.0) of the blur is invalid'),
    ('dataset_converters/synthesize_blur.py', 'nowhere new', 2, 'sharp photos nowhere does not ex'),
    (*EXPORT, 'new.txt', 2, "'new.txt' has an unknown suffix; use .onnx or .pt2"),
    (*EXPORT, 'new.onnx --opset 5', 2, '--opset 5 is not supported'),
    (*EXPORT, 'new.onnx --pad-to 0', 2, '0 is too small; use 1 or more'),
    ('model_converters/official2mmspd.py', 'none new.pth', 2, "invalid choice: 'none'"),
    (
        'model_converters/official2mmspd.py',
        'mimounet none.pkl new.pth',
        2,
        'none.pkl does not exist',
    ),
    (
        'model_converters/asl_tresnet2timm.py',
        'damaged.pth new.pth',
        1,
        'damaged.pth cannot be read',
    ),
    (
        'model_converters/asl_tresnet2timm.py',
        'damaged.pth void',
        2,
        'void is a folder; give a file',
    ),
    ('model_converters/lpips_jax2torchvision.py', 'alex void', 2, 'void is a folder; give a file'),
    ('doctor.py', 'void', 2, 'unrecognized arguments: void'),
    ('dataset_converters/download.py', 'imagenet', 2, "invalid choice: 'imagenet'"),
    ('dataset_converters/download.py', 'hide --archive none.zip', 2, 'none.zip does not exist'),
    ('weights.py', '', 2, 'the following arguments are required: COMMAND'),
    ('weights.py', 'get mprnet_gorpo', 2, "There are no weights named 'mprnet_gorpo'; give one"),
    (*SHARE, 'none.pth me/tiny', 2, 'The checkpoint none.pth does not exist'),
    (*SHARE, 'damaged.pth me/tiny', 1, 'damaged.pth cannot be read'),
    (*SHARE, '{k} me/tiny --result text.txt', 1, "'text.txt' is not a JSON file"),
    (*SHARE, '{k} me/tiny --out-dir text.txt', 2, 'text.txt is not a folder'),
]
SCRIPTS = [
    ('dist_train.sh', '{c}', 2, 'error: dist_train.sh needs a number of processes, not '),
    ('dist_train.sh', '{c} 0', 2, "error: dist_train.sh needs a number of processes, not '0'"),
    ('dist_train.sh', 'none.py 1', 2, "error: The file 'none.py' does not exist"),
    ('dist_test.sh', '{c} none.pth 1', 2, "error: The file 'none.pth' does not exist"),
    ('slurm_train.sh', 'partition', 2, 'error: slurm_train.sh needs a partition, a job name and'),
    ('install.sh', 'x', 2, 'error: install.sh has no arguments'),
    ('quickstart.sh', 'x', 2, 'error: quickstart.sh has no arguments'),
    ('check_gpu.sh', 'soon', 2, 'error: check_gpu.sh takes a whole number of minutes and a folder'),
    ('test_stacks.sh', 'oldest x', 2, 'error: There is no stack x; use oldest or newest.'),
]


@pytest.fixture(scope='module')
def places(tmp_path_factory, pairs_root):
    """A working folder with bad files, and the values of the names in the rows."""
    folder = tmp_path_factory.mktemp('bad')
    for name, text in CONFIGS.items():
        (folder / name).write_bytes(text.encode('latin-1'))
    (folder / 'text.txt').write_text('no photo')
    (folder / 'damaged.pth').write_text('no weights')
    (folder / 'void').mkdir()
    config = folder / 'tiny.py'
    config.write_text(config_text('tiny', pairs_root))
    torch.manual_seed(0)
    torch.save(dict(state_dict=init_model(str(config)).state_dict()), folder / 'tiny.pth')
    photo = pairs_root / 'val' / 'input' / '00.png'
    return folder, dict(c='tiny.py', k='tiny.pth', p=str(photo), d=str(pairs_root))


def parts(row):
    """Return the tool, its arguments as one text, the exit code and the words of a row."""
    tool, *arguments, code, words = row
    return tool, ''.join(arguments), code, words


@pytest.mark.parametrize('row', ROWS, ids=lambda row: f'{row[0]}: {"".join(row[1:-2])}'[:80])
def test_a_bad_invocation(call_tool, places, monkeypatch, row):
    folder, values = places
    tool, text, code, words = parts(row)
    monkeypatch.chdir(folder)
    before = set(folder.rglob('new*'))
    got, output, error = call_tool(tool, *text.format(**values).split(' ') if text else ())
    Visualizer._instance_dict.clear()  # a visualizer that failed stays in this list
    assert got == code, error
    assert words in error
    assert len([line for line in error.splitlines() if 'error: ' in line]) == 1
    assert 'Traceback' not in output + error
    assert set(folder.rglob('new*')) == before  # no output


def test_all_tools_have_a_row():
    names = {path.relative_to(TOOLS).as_posix() for path in TOOLS.rglob('*.py')}
    parts = ('common', 'measure', 'report', 'training_step')
    modules = {f'benchmark/{name}.py' for name in parts}
    assert {row[0] for row in ROWS} == names - modules
    scripts = {path.name for path in TOOLS.glob('*.sh')} - {'run_tests.sh', 'dist_launch.sh'}
    assert {row[0] for row in SCRIPTS} == scripts


@pytest.mark.parametrize('row', SCRIPTS, ids=lambda row: ' '.join(row[:2]))
def test_a_bad_invocation_of_a_script(places, row):
    folder, values = places
    tool, text, code, words = row
    command = ['bash', TOOLS / tool, *text.format(**values).split()]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, '')
    assert words in done.stderr
    assert done.stderr.count('error: ') == 1


def test_a_script_passes_names_on():
    names = ['mmspd::spd/unet_gopro.py', 'official']
    command = ['bash', TOOLS / 'dist_test.sh', *names, '2']
    output = subprocess.check_output(command, env={**os.environ, 'PYTHON': 'echo'}, text=True)
    assert output.endswith(f'/test.py {" ".join(names)} --launcher pytorch\n')
