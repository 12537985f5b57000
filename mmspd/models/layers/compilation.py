"""``torch.compile`` for one function of a model; the model itself does not change."""

from typing import Any, Callable, Dict, Literal, Optional, Union

import torch
from torch._dynamo.exc import TorchDynamoException

from mmspd.errors import UserError

__all__ = ['Compiled']


class Compiled:
    """Calls a function and, on request, compiles it at the first call.

    The compiled program is not part of any module, so the keys of state dicts do not change. A deep
    copy or pickle contains only the options, so its first call compiles again.

    Args:
        options: Arguments of ``torch.compile``. ``True`` means ``dict(dynamic=False)``: one program
            for each image size and batch size. ``False`` calls the function without compiling it.

    Raises:
        UserError: The options are neither a boolean nor a dict.

    Examples:
        >>> from mmspd.models.layers.compilation import Compiled
        >>> Compiled(True).options
        {'dynamic': False}
        >>> Compiled(dict(mode='reduce-overhead')).reuses_memory
        True
        >>> Compiled(False)(max, 1, 2)
        2
    """

    def __init__(self, options: Union[bool, Dict[str, Any]]) -> None:
        if not isinstance(options, (bool, dict)):
            raise UserError(
                f'compile={options!r} is unknown; use True, False or a dict of arguments of '
                "torch.compile such as dict(mode='max-autotune-no-cudagraphs')."
            )
        self.options: Union[Literal[False], Dict[str, Any]] = False
        if options:
            self.options = dict(dynamic=False) if options is True else options
        self._compiled: Optional[Callable[..., Any]] = None

    @property
    def reuses_memory(self) -> bool:
        """Whether CUDA graphs overwrite a result at the next call of any compiled function."""
        if self.options is False:
            return False
        return (
            self.options.get('mode') in ('reduce-overhead', 'max-autotune')
            or self.options.get('backend') == 'cudagraphs'
            or bool((self.options.get('options') or {}).get('triton.cudagraphs'))
        )

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the function.

        Args:
            function: The function. Pass the same function in every call.
            args: Its positional arguments.
            kwargs: Its keyword arguments.

        Returns:
            The result of the function.

        Raises:
            UserError: Compilation fails, for example because there is no C++ compiler, or
                ``torch.compile`` rejects the options.
        """
        if self.options is False:
            return function(*args, **kwargs)
        if self._compiled is None:
            try:
                self._compiled = torch.compile(function, **self.options)
            except (RuntimeError, TypeError) as error:
                raise UserError(
                    f'compile={self.options} is refused by torch.compile ({error}); correct these '
                    'options.'
                ) from error
        try:
            return self._compiled(*args, **kwargs)
        except TorchDynamoException as error:
            cause = ' '.join(str(error).split('\n')[:2])
            raise UserError(
                f'PyTorch cannot compile here ({cause}); install a C++ compiler if there is none, '
                'or turn compilation off (model.compile, --compile).'
            ) from error

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, '_compiled': None}
