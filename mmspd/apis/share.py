"""Share trained weights on Hugging Face, and get shared weights."""

from pathlib import Path
from typing import Any, Optional, Sequence, Union

import torch
from mmengine.config import Config

from mmspd.apis.model import init_model
from mmspd.apis.model_card import model_card
from mmspd.errors import UserError
from mmspd.evaluation.results import Result
from mmspd.utils.cache import home
from mmspd.utils.files import atomic_path, sha256_of, write_text
from mmspd.utils.shared_config import SHARED_CONFIG, read_shared_config, write_shared_config
from mmspd.version import __version__
from mmspd.weights.files import loaded_weights
from mmspd.weights.sources import SHARED_WEIGHTS

__all__ = ['pull', 'push', 'write_shared']

CARD = 'README.md'


def write_shared(
    config: Config,
    checkpoint: Union[str, Path],
    folder: Union[str, Path],
    repository: str,
    results: Sequence[Union[str, Path]] = (),
    license: Optional[str] = None,
) -> None:
    """Write a folder of shared weights: the weights, the config of the model and a model card.

    The folder contains no code. The weights are those of the generator; the teacher and the heads
    of the prior loss are omitted. The folder is read again and compared with the checkpoint.

    Args:
        config: Config of the training.
        checkpoint: The checkpoint.
        folder: Folder to write. It is created if it is missing.
        repository: Name of the repository for the model card.
        results: Files ``result.json`` of tests of this checkpoint.
        license: License of the weights for the model card.

    Raises:
        UserError: The checkpoint does not fit the config, a result is of another checkpoint, or a
            file cannot be written.
    """
    from safetensors.torch import save_file  # comes with timm

    folder = Path(folder)
    read_before = len(loaded_weights())
    generator = init_model(config, checkpoint, distillation=False).generator
    digests = [each['sha256'] for each in loaded_weights(read_before)]
    measured = [_load_result(path, digests) for path in results]
    # MPRNet has many names for one tensor; each name gets an own copy
    state = {f'generator.{name}': value.clone() for name, value in generator.state_dict().items()}
    with atomic_path(folder / SHARED_WEIGHTS) as temporary:
        save_file(state, temporary, metadata=dict(format='pt', mmspd=__version__))
    write_shared_config(config, folder / SHARED_CONFIG)
    parameters = sum(parameter.numel() for parameter in generator.parameters())
    digest = sha256_of(folder / SHARED_WEIGHTS)
    card = model_card(repository, config, parameters, digest, measured, license)
    write_text(folder / CARD, card)
    shared = init_model(read_shared_config(folder / SHARED_CONFIG), folder, distillation=False)
    for name, value in shared.generator.state_dict().items():
        if not torch.equal(value, state[f'generator.{name}']):
            raise UserError(f'{folder} has another value of {name} than {checkpoint}; report this.')


def _load_result(path: Union[str, Path], digests: Sequence[str]) -> Result:
    """Load a result and check that it is a result of the checkpoint."""
    result = Result.load(path)
    tested = (result.provenance.get('checkpoint') or {}).get('sha256')
    if tested not in digests:
        raise UserError(
            f"'{path}' is the result of weights with the SHA-256 {tested}, but those to be shared "
            f'have {" ".join(digests)}; test the checkpoint with mmspd test.'
        )
    return result


def push(folder: Union[str, Path], repository: str, private: bool = False) -> str:
    """Upload a folder of shared weights to Hugging Face.

    Args:
        folder: A folder that :func:`write_shared` wrote.
        repository: Name of the repository. It is created if it is missing.
        private: Create a repository that only its owner can see.

    Returns:
        The address of the upload.

    Raises:
        UserError: ``huggingface_hub`` is not installed, or the upload fails.
    """
    hub = _hub()
    try:
        hub.HfApi().create_repo(repository, private=private, exist_ok=True)
        return str(
            hub.HfApi().upload_folder(
                repo_id=repository,
                folder_path=str(folder),
                allow_patterns=[SHARED_WEIGHTS, SHARED_CONFIG, CARD],
                commit_message='Upload weights with mmspd',
            )
        )
    except Exception as error:  # versions of huggingface_hub raise different kinds of errors
        raise _failure(repository, 'pushed', error) from error


def pull(repository: str) -> Path:
    """Download shared weights from Hugging Face to the cache.

    Args:
        repository: Name of the repository.

    Returns:
        The folder, from which :class:`~mmspd.apis.inferencer.DeblurInferencer` loads the model.

    Raises:
        UserError: ``huggingface_hub`` is not installed, the download fails, or the repository does
            not contain weights that mmspd has shared.
    """
    hub = _hub()
    folder = home() / 'shared' / repository
    patterns = [SHARED_WEIGHTS, SHARED_CONFIG, CARD]
    try:
        hub.snapshot_download(repository, local_dir=str(folder), allow_patterns=patterns)
    except Exception as error:  # versions of huggingface_hub raise different kinds of errors
        raise _failure(repository, 'pulled', error) from error
    for name in (SHARED_CONFIG, SHARED_WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(
                f'{repository} has no {name}; pull a repository that mmspd weights push wrote.'
            )
    read_shared_config(folder / SHARED_CONFIG)
    return folder


def _hub() -> Any:
    try:
        import huggingface_hub  # optional
    except ModuleNotFoundError as error:
        raise UserError(
            'Sharing weights needs the package huggingface_hub; run pip install huggingface_hub.'
        ) from error
    return huggingface_hub


def _failure(repository: str, done: str, error: Exception) -> UserError:
    reason = ' '.join(str(error).split())[:200] or type(error).__name__
    return UserError(
        f'{repository} cannot be {done} ({reason}); check its name, the network, and that you are '
        'logged in to Hugging Face.'
    )
