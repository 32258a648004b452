"""200 lines on which the device's tokenizer must agree with the one the model came with, token by token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TEXT = """\
what is the weather like tomorrow
Please wake me up at 7:30 a.m., not at 19:30!
transfer $1,250.75 from savings to checking (account no. 004-711)
I don't think it's John's; they're the Smiths' ...
e-mail me at first.last+tag@example.org or see https://example.org/a?b=c&d=%20e
naïve façade coöperate Ångström ŒUVRE straße İstanbul ıssız
Zu Besuch bei Müllers: „Grüß Gott“ – so heißt’s dort
Où est la bibliothèque ? À côté de l'hôtel, là-bas.
¿Dónde está el baño? ¡Aquí!
Где находится ближайшая станция метро?
Πού είναι η έξοδος;
איפה התחנה הקרובה
أين أقرب محطة قطار
明日の天気はどうですか
今天的天气怎么样
오늘 날씨 어때요
नमस्ते दुनिया
สวัสดีชาวโลก
I ❤️ it 😀👍🏽 👩‍👩‍👧‍👦 🇫🇷
cafe\u0301 and café, ﬁne and fine, Ｆｕｌｌ ｗｉｄｔｈ
tab\tbetween and two  spaces   and three
\u00a0non-breaking\u00a0space and zero\u200bwidth
a
!
...
0
1234567890123456789012345678901234567890
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
supercalifragilisticexpialidocious antidisestablishmentarianism
x = {"key": [1, 2.5, null]}; if (a && !b) { return c->d; }
<b>bold</b> &amp; <br/> #hashtag @someone
[CLS] [SEP] [MASK] [PAD] <s> </s> <pad> <unk> <mask>
''quoted'' ``quoted'' "quoted" «quoted»
½ ¼ ² ³ ™ © § € £ ¥ µ
under_score camelCase snake_case kebab-case SHOUTING
\ufeffmark at the start
soft\u00adhyphen and combining Z\u0351\u036b\u0343
trailing space \t
the the the the the the the the the the the the the the the the the the the the
"""
_BASE = _TEXT.split("\n")  # the last of them is the empty text

_VARIANTS: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    str.title,
    lambda line: f"  {line} ",
    lambda line: f"{line}. And again: {line}",
)
CHECK_LINES: tuple[str, ...] = tuple(variant(line) for variant in _VARIANTS for line in _BASE)

Encode = Callable[[Sequence[str]], Mapping[str, NDArray[Any]]]


def first_difference(ours: Encode, theirs: Encode, lines: Sequence[str] = CHECK_LINES) -> str | None:
    """The first line the two encode differently, or None. Compared one by one and as a padded batch."""
    for line in lines:
        if not _same(ours([line]), theirs([line])):
            return line
    return None if _same(ours(lines), theirs(lines)) else lines[0]


def _same(ours: Mapping[str, NDArray[Any]], theirs: Mapping[str, NDArray[Any]]) -> bool:
    """Equal arrays for all inputs that both make; ids at least."""
    shared = set(ours) & set(theirs)
    return "input_ids" in shared and all(np.array_equal(ours[name], theirs[name]) for name in shared)
