"""torch.compile for one function of a model, without a trace in the model."""

from typing import Any, Callable, Dict, Literal, Optional, Union

import torch
from torch._dynamo.exc import TorchDynamoException

from mmspd.errors import UserError

__all__ = ['Compiled']


class Compiled:
    """Calls a function, compiled at the first call if that is asked for.

    What is compiled belongs to no module: names in state dicts stay as they are, and deep copies
    and pickles carry the options alone and compile anew.

    Args:
        options: arguments of ``torch.compile``; ``True`` for ``dict(dynamic=False)``, which makes
            one program for each size and each batch size; ``False`` to call as it is.

    Raises:
        UserError: the options are none of these.
    """

    def __init__(self, options: Union[bool, Dict[str, Any]]) -> None:
        if not isinstance(options, (bool, dict)):
            raise UserError(
                f'compile={options!r} is not known: give True, False, or a dict of arguments of '
                "torch.compile such as dict(mode='max-autotune-no-cudagraphs')."
            )
        self.options: Union[Literal[False], Dict[str, Any]] = False
        if options:
            self.options = dict(dynamic=False) if options is True else options
        self._compiled: Optional[Callable[..., Any]] = None

    @property
    def reuses_memory(self) -> bool:
        """Whether a result is overwritten by the next call of any such function (CUDA graphs)."""
        if self.options is False:
            return False
        return (
            self.options.get('mode') in ('reduce-overhead', 'max-autotune')
            or self.options.get('backend') == 'cudagraphs'
            or bool((self.options.get('options') or {}).get('triton.cudagraphs'))
        )

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the function, which must be the same one in every call.

        Raises:
            UserError: it cannot be compiled, for instance because there is no C++ compiler, or
                ``torch.compile`` does not know the options.
        """
        if self.options is False:
            return function(*args, **kwargs)
        if self._compiled is None:
            try:
                self._compiled = torch.compile(function, **self.options)
            except (RuntimeError, TypeError) as error:
                raise UserError(
                    f'compile={self.options} is refused by torch.compile ({error}): correct it.'
                ) from error
        try:
            return self._compiled(*args, **kwargs)
        except TorchDynamoException as error:
            cause = ' '.join(str(error).split('\n')[:2])
            raise UserError(
                f'PyTorch cannot compile here ({cause}); install a C++ compiler if that is what '
                'is missing, or leave compile out (model.compile, --compile).'
            ) from error

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, '_compiled': None}
