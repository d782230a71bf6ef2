"""What the pages share: their frame, curves and small parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

STYLE = Path(__file__).with_name('style.css').read_text()
LINKS = {
    'Data': '/data',
    'New run': '/new',
    'Runs': '/runs',
    'Compare': '/compare',
}
INK = '#78858e'  # of lines in charts; of text see style.css
COLORS = ('#2f6fb2', '#c2571a', '#2d7d46', '#8b4fa3', '#a03a3a', '#5c6b73')


@contextmanager
def frame(title: str) -> Iterator[None]:
    """Put what is inside under the header of all pages."""
    ui.add_css(STYLE)
    ui.colors(primary='#1f5c99', negative='#a4241c')
    ui.page_title(f'{title} – Model Playground')
    with (
        ui.header().classes('bar'),
        ui.element('nav').props('aria-label="Pages"'),
    ):
        for name, target in LINKS.items():
            link = ui.link(name, target)
            if name == title:
                link.props('aria-current=page')
    # NiceGUI has put all this into an element main
    with ui.element('div').classes('page').props('id=main tabindex=-1'):
        words('h1', title).classes('title')
        yield


def words(tag: str, content: str = '') -> TextElement:
    """Add an element of HTML with text, which is never read as HTML."""
    return TextElement(tag=tag, text=content)


def picture(kind: str, content: str, caption: str) -> None:
    """Add a picture in base 64; ``kind`` is 'jpeg' or 'png'."""
    with ui.element('figure'):
        image = ui.element('img')
        # not by props(), which would read a file's name as markup
        image._props['src'] = f'data:image/{kind};base64,{content}'
        image._props['alt'] = caption
        words('figcaption', caption)


def heading(title: str) -> None:
    """Add the heading of a part of a page."""
    words('h2', title)


def note(line: str = '', kind: str = 'quiet') -> ui.label:
    """Add a line of text; ``kind`` is 'quiet', 'good' or 'bad'."""
    return ui.label(line).classes(f'note {kind}')


def curves(
    title: str, unit: str, lines: Mapping[str, Sequence[tuple[float, float]]]
) -> dict:
    """Return the options of a chart of lines over iterations."""
    return chart(title) | {
        'tooltip': {'trigger': 'axis'},
        'xAxis': axis('iteration') | {'min': 'dataMin', 'nameGap': 26},
        'yAxis': axis(unit) | {'scale': True},
        'series': [
            {
                'name': name,
                'type': 'line',
                'showSymbol': len(points) < 30,
                'data': [list(point) for point in points],
            }
            for name, points in lines.items()
        ],
    }


def chart(title: str) -> dict:
    """Return what the options of all charts have."""
    return {
        'animation': False,
        'aria': {'enabled': True},
        'backgroundColor': 'transparent',
        'color': list(COLORS),
        'title': {
            'text': title,
            'textStyle': {'fontSize': 14, 'color': INK},
        },
        'textStyle': {'color': INK},
        'legend': {
            'type': 'scroll',
            'bottom': 0,
            'textStyle': {'color': INK},
        },
        'grid': {'left': 52, 'right': 16, 'top': 40, 'bottom': 56},
    }


def axis(name: str) -> dict:
    """Return the options of an axis of numbers."""
    return {
        'type': 'value',
        'name': name,
        'nameLocation': 'middle',
        'axisLabel': {'color': INK},
        'splitLine': {'lineStyle': {'color': f'{INK}40'}},
    }


def points(records: Sequence[Mapping], key: str) -> list[tuple[float, float]]:
    """Return the values of a key over iterations."""
    return [(r['step'], r[key]) for r in records if _is_number(r.get(key))]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and value == value
