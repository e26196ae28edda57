"""An invented Chinese apparel-and-snacks retailer: goods, places, opening stock and a day of orders.

Everything follows from the seed. Names are made up; city coordinates are real.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random
from typing import Final

from stdnum import ean

from flows.one_stock.geography import locate

OWNER: Final = "yunshang"
BRAND: Final = "yunshang"
LIVE_ROOM: Final = "live"
MINI_PROGRAM: Final = "mini"
TILL: Final = "pos"

_STYLES: Final = (
    ("云感羽绒服", "Cloud down jacket", 89900, ("黑色", "米白", "雾蓝"), ("S", "M", "L", "XL")),
    ("山野冲锋衣", "Trail shell", 69900, ("墨绿", "橙色"), ("S", "M", "L", "XL")),
    ("棉麻衬衫", "Linen shirt", 25900, ("白色", "浅蓝", "卡其"), ("S", "M", "L", "XL")),
    ("速干短袖", "Quick-dry tee", 12900, ("黑色", "白色", "荧光绿", "灰色"), ("S", "M", "L", "XL")),
    ("阔腿牛仔裤", "Wide jeans", 32900, ("原色", "黑色"), ("26", "27", "28", "29", "30")),
    ("针织开衫", "Knit cardigan", 29900, ("燕麦", "焦糖", "藏青"), ("S", "M", "L")),
    ("轻跑鞋", "Light runner", 45900, ("白色", "黑色", "青柠"), ("38", "39", "40", "41", "42", "43")),
    ("连帽卫衣", "Hoodie", 25900, ("黑色", "浅灰", "樱粉"), ("S", "M", "L", "XL")),
    ("双面呢大衣", "Double-faced wool coat", 129900, ("驼色", "黑色"), ("S", "M", "L")),
    ("碎花连衣裙", "Floral dress", 35900, ("蓝底", "粉底"), ("S", "M", "L", "XL")),
    ("运动长裤", "Track trousers", 19900, ("黑色", "深灰", "藏青"), ("S", "M", "L", "XL")),
    ("儿童轻羽绒", "Kids' light down", 39900, ("柠黄", "天蓝", "粉色"), ("110", "120", "130", "140", "150")),
    ("棉袜三双装", "Socks, three pairs", 4900, ("黑色", "白色", "混色"), ("均码",)),
    ("遮阳帽", "Sun hat", 9900, ("米色", "黑色"), ("均码",)),
    ("羊毛围巾", "Wool scarf", 19900, ("驼色", "酒红", "灰色"), ("均码",)),
)
_SNACKS: Final = (
    ("每日坚果", "Daily nuts", 5990, ("原味", "莓果", "酸奶"), ("175g", "525g", "750g"), 240),
    ("猪肉脯", "Pork jerky", 3290, ("蜜汁", "香辣", "黑胡椒"), ("100g", "200g"), 180),
    ("手撕面包", "Pull-apart bread", 2590, ("原味", "红豆"), ("400g", "800g"), 60),
    ("冻干草莓", "Freeze-dried strawberries", 2990, ("原味", "巧克力"), ("30g", "60g"), 365),
    ("海苔脆", "Seaweed crisps", 1990, ("原味", "芝麻", "辣味"), ("40g", "80g"), 300),
    ("凤梨酥", "Pineapple cakes", 3990, ("经典", "蛋黄"), ("8枚", "16枚"), 90),
    ("挂耳咖啡", "Drip coffee", 4990, ("意式", "耶加", "曼特宁"), ("10片", "20片"), 540),
    ("牛肉干", "Beef jerky", 4590, ("五香", "麻辣", "沙嗲"), ("120g", "250g"), 210),
    ("山楂条", "Hawthorn strips", 1590, ("原味", "陈皮"), ("108g", "216g"), 270),
    ("乌龙茶", "Oolong tea", 8900, ("清香", "浓香"), ("150g", "300g"), 720),
)
_WAREHOUSES: Final = (
    ("W-SH", "上海总仓", "上海市"),
    ("W-GZ", "广州华南仓", "广州市"),
    ("W-CD", "成都西南仓", "成都市"),
    ("W-BJ", "北京华北仓", "北京市"),
    ("W-WH", "武汉华中仓", "武汉市"),
)
_STORES: Final = (
    ("S001", "杭州湖滨店", "杭州市"),
    ("S002", "南京新街口店", "南京市"),
    ("S003", "深圳万象店", "深圳市"),
    ("S004", "西安钟楼店", "西安市"),
    ("S005", "重庆解放碑店", "重庆市"),
    ("S006", "长沙五一店", "长沙市"),
    ("S007", "青岛台东店", "青岛市"),
)
_BUYER_CITIES: Final = (
    ("浙江省", "杭州市"), ("江苏省", "苏州市"), ("广东省", "深圳市"), ("广东省", "佛山市"), ("四川省", "成都市"),
    ("北京市", "北京市"), ("湖北省", "武汉市"), ("湖南省", "长沙市"), ("陕西省", "西安市"), ("山东省", "青岛市"),
    ("辽宁省", "大连市"), ("福建省", "厦门市"), ("云南省", "昆明市"), ("河南省", "郑州市"), ("重庆市", "重庆市"),
)  # fmt: skip
_SURNAMES: Final = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_GIVEN: Final = ("伟", "芳", "娜", "敏", "静", "磊", "洋", "艳", "勇", "杰", "娟", "涛", "明", "超", "霞", "平", "刚")


@dataclass(frozen=True, slots=True)
class Goods:
    """One SKU as the merchandiser knows it. ``material`` is SAP's 18-digit number, ``item`` the till's code."""

    material: str
    item: str
    style: str
    name: str
    english: str
    colour: str
    size: str
    price_minor: int
    gtin: str
    shelf_life_days: int | None

    @property
    def code(self) -> str:
        """The hub's SKU code: the material number without leading zeros."""
        return self.material.lstrip("0")


@dataclass(frozen=True, slots=True)
class Site:
    """A store or warehouse."""

    code: str
    name: str
    city: str
    warehouse: bool
    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class Wish:
    """One order as its buyer means it: channel, goods, and where to; ``card``: the buyer's, if a member."""

    channel: str
    order_no: str
    placed_at: datetime
    lines: tuple[tuple[Goods, int], ...]
    name: str
    mobile: str
    province: str
    city: str
    street: str
    store: str | None
    carry_out: bool
    card: str | None = None

    @property
    def total_minor(self) -> int:
        """What the goods cost."""
        return sum(goods.price_minor * quantity for goods, quantity in self.lines)


def catalogue() -> tuple[Goods, ...]:
    """All goods, the same every time."""
    rows: list[tuple[str, str, str, int, str, str, int | None]] = []
    for number, (name, english, price, colours, sizes) in enumerate(_STYLES, 1):
        rows += [(f"A{number:03d}", name, english, price, c, s, None) for c, s in product(colours, sizes)]
    for number, (name, english, price, flavours, packs, days) in enumerate(_SNACKS, 1):
        rows += [(f"F{number:03d}", name, english, price, c, s, days) for c, s in product(flavours, packs)]
    goods = [_goods(number, row) for number, row in enumerate(rows, 1)]
    return tuple(goods)


def _goods(number: int, row: tuple[str, str, str, int, str, str, int | None]) -> Goods:
    style, name, english, price, colour, size, days = row
    body = f"6901234{number:05d}"
    return Goods(
        material=f"{100000 + number:018d}",
        item=f"0{number:05d}",
        style=style,
        name=f"{name} {colour} {size}",
        english=english,
        colour=colour,
        size=size,
        price_minor=price,
        gtin=body + ean.calc_check_digit(body),
        shelf_life_days=days,
    )


def sites() -> tuple[Site, ...]:
    """Twelve places: five warehouses and seven stores."""

    def build() -> Iterator[Site]:
        for warehouse, rows in ((True, _WAREHOUSES), (False, _STORES)):
            for code, name, city in rows:
                point = locate({"city": city})
                if point is None:
                    raise LookupError(f"no coordinates for {city}")
                yield Site(code, name, city, warehouse, point.lat, point.lon)

    return tuple(build())


def opening_stock(seed: int) -> dict[tuple[str, str], int]:
    """Units by (site code, SKU code). Some goods lie in one warehouse only, so that orders have to be split."""
    random = Random(seed)
    stock = {}
    for goods in catalogue():
        holders = random.sample([s.code for s in sites() if s.warehouse], k=random.choice((1, 1, 2, 3, 5)))
        for site in sites():
            if site.warehouse and site.code in holders:
                stock[site.code, goods.code] = random.randint(2, 40)
            elif not site.warehouse and random.random() < 0.6:
                stock[site.code, goods.code] = random.randint(1, 12)
    return stock


def wishes(seed: int, count: int) -> tuple[Wish, ...]:
    """A day of orders: half mini-program, a fifth live-stream, the rest at the till.

    Some of these are carried out: goods that lay in the store this morning, and were not carried out before.
    """
    random = Random(seed + 1)
    goods = catalogue()
    popular = random.sample(goods, k=20)
    stores = [site for site in sites() if not site.warehouse]
    shelves = opening_stock(seed)
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=8)
    orders = []
    for number in range(1, count + 1):
        channel = random.choices((MINI_PROGRAM, LIVE_ROOM, TILL), weights=(5, 2, 3))[0]
        pool = popular if channel == LIVE_ROOM else goods
        chosen = random.sample(pool, k=random.choices((1, 2, 3, 5), weights=(5, 3, 2, 1))[0])
        lines = [(item, random.choices((1, 2, 4), weights=(7, 2, 1))[0]) for item in chosen]
        store = random.choice(stores) if channel == TILL else None
        there = [line for line in lines if store and shelves.get((store.code, line[0].code), 0) >= line[1]]
        carry_out = bool(there) and random.random() < 0.6
        if store and carry_out:
            lines = there
            for item, quantity in lines:
                shelves[store.code, item.code] -= quantity
        province, city = random.choice(_BUYER_CITIES)
        orders.append(
            Wish(
                channel=channel,
                order_no=f"{channel.upper()}{start:%Y%m%d}{number:05d}",
                placed_at=start + timedelta(seconds=number * 120),
                lines=tuple(lines),
                name=random.choice(_SURNAMES) + random.choice(_GIVEN),
                mobile=f"138{random.randrange(10**8):08d}",
                province=province,
                city=city,
                street=f"{random.choice(('中山', '人民', '解放', '建设'))}路{random.randint(1, 999)}号",
                store=store.code if store else None,
                carry_out=carry_out,
            )
        )
    return tuple(orders)
