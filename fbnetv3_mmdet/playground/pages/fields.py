"""The fields of the form: a setting each, with its words and its fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nicegui import ui

from ...archs import ARCHS
from ...costs import costs, total
from ...kinds import BOOL, NUMBERS
from ...settings import AUGMENTATIONS, Setting
from ..forms import NORMS, WEIGHTS, plain
from ..runs import Run
from .parts import note, words


class Field:
    """A number, and what the other kinds of fields have in common.

    Args:
        setting: What is set.
        change: Called without arguments after each change.
    """

    def __init__(self, setting: Setting, change: Callable[[], None]) -> None:
        self.setting = setting
        self._change = change
        self._default: Any = None

    def build(self) -> None:
        """Make the elements."""
        what = f'what-{self.setting.name}'
        with ui.element('div'):
            self._element = self._make()
            self._element.props(f'hint="" aria-describedby="{what}"')
            self._element.on_value_change(self._changed)
            self._line = note(kind='bad').props('role=alert')
            note(self.setting.what).props(f'id={what}')
            with ui.element('details').classes('why'):
                words('summary', 'Why and when')
                note(plain(self.setting.why))
            self._back = ui.button(
                'Back to the default', on_click=lambda: self.show()
            ).props(f'flat dense no-caps aria-describedby="{what}"')

    @property
    def value(self) -> Any:
        """The value, as a config has it."""
        value = self._element.value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value

    def start(self, default: Any, value: Any) -> None:
        """Show a value, and remember the default."""
        self._default = default
        self.show(default)
        self.show(value)

    def show(self, *value: Any) -> None:
        """Show a value, by default the default; one that cannot be is not."""
        (shown,) = value or (self._default,)
        self._element.value = self._shown(shown)
        self._back.set_visibility(self.value != self._default)

    def tell(self, faults: Sequence[str]) -> None:
        """Show what is wrong with the value."""
        self._line.text = ' '.join(faults)
        wrong = str(bool(faults)).lower()
        self._element.props(f'aria-invalid={wrong} :error={wrong}')

    def _changed(self) -> None:
        self._back.set_visibility(self.value != self._default)
        self._change()

    # what kinds of fields differ in

    def _make(self) -> ui.element:
        step = 0.05 if self.setting.name.endswith('_iou') else None
        return ui.number(self.setting.label, step=step)

    def _shown(self, value: Any) -> Any:
        """Return what the element has for a config's value."""
        return value


class Switch(Field):
    """True or False."""

    def _make(self) -> ui.element:
        return ui.switch(self.setting.label)


class Numbers(Field):
    """A list of numbers, written with commas."""

    @property
    def value(self) -> Any:
        """The numbers; the text, where it is none of them."""
        text = self._element.value or ''
        try:
            numbers = [float(part) for part in text.split(',')]
        except ValueError:
            return text
        return [int(n) if n.is_integer() else n for n in numbers]

    def _make(self) -> ui.element:
        return ui.input(self.setting.label)

    def _shown(self, value: Any) -> str:
        if not isinstance(value, list):  # what was typed, in a draft
            return str(value)
        return ', '.join(f'{number:g}' for number in value)


class Choice(Field):
    """One of some values, by their names.

    Args:
        setting: What is set.
        change: Called without arguments after each change.
        values: A config's, by the names that people choose.
    """

    def __init__(
        self,
        setting: Setting,
        change: Callable[[], None],
        values: Mapping[str, Any],
    ) -> None:
        super().__init__(setting, change)
        self._values = values

    @property
    def value(self) -> Any:
        """The value, as a config has it."""
        return self._values.get(self._element.value)

    def _make(self) -> ui.element:
        return ui.select(
            list(self._values),
            label=self.setting.label,
            with_input=len(self._values) > 8,  # to find it by typing
        )

    def _shown(self, value: Any) -> str | None:
        names = (name for name, v in self._values.items() if v == value)
        return next(names, self._element.value)


def make_field(
    setting: Setting, change: Callable[[], None], runs: Iterable[Run]
) -> Field:
    """Return the field that suits a setting.

    Args:
        setting: What is set.
        change: Called without arguments after each change.
        runs: Whose weights can be begun with.
    """
    if setting.name == 'arch':
        return Choice(setting, change, _archs())
    if setting.name == 'normalisation':
        return Choice(setting, change, NORMS)
    if setting.name == 'initial_weights':
        return Choice(setting, change, _weights(runs))
    if setting.name == 'augmentation':
        return Choice(setting, change, {name: name for name in AUGMENTATIONS})
    kinds = {BOOL: Switch, NUMBERS: Numbers}
    return kinds.get(setting.kind, Field)(setting, change)


def _weights(runs: Iterable[Run]) -> dict[str, str | None]:
    known = {'none: random weights': None}
    known |= {name: name for name in WEIGHTS}
    for run in runs:
        if path := run.checkpoint():
            known[f'run {run.name}'] = str(path)
    return known


def _archs() -> dict[str, str]:
    """Return the members that a C4 detector can be built of, by what to say.

    A name, with the parameters and multiply-adds of its parts together.
    """
    shown = {}
    for name, arch in ARCHS.items():
        if len(arch.trunk) != 4 or not arch.bbox:
            continue
        parts = costs(name)
        whole = total(parts[part] for part in ('trunk', 'rpn', 'bbox'))
        text = (
            f'{name}: {whole.params / 1e6:.1f} M parameters, '
            f'{whole.macs / 1e6:.0f} M multiply-adds'
        )
        shown[text] = name
    return shown
