//! What are the goods called, what do they cost, who sells them? Word lists as sellers write them.

use super::render::Subject;
use crate::drawing::Tint;

/// One kind of goods.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) category_id: u64,
    pub(super) name: &'static str,
    pub(super) nouns: &'static [&'static str],
    pub(super) features: &'static [&'static str],
    pub(super) specs: &'static [&'static str],
    /// Wholesale price in fen, lowest and highest.
    pub(super) fen: (u32, u32),
    pub(super) subject: Subject,
}

macro_rules! kind {
    ($id:literal, $name:literal, $subject:ident, $low:literal..$high:literal, [$($noun:literal),*], [$($feature:literal),*], [$($spec:literal),*]) => {
        Kind {
            category_id: $id,
            name: $name,
            nouns: &[$($noun),*],
            features: &[$($feature),*],
            specs: &[$($spec),*],
            fen: ($low, $high),
            subject: Subject::$subject,
        }
    };
}

pub(super) const KINDS: [Kind; 14] = [
    kind!(
        1_031_910,
        "马克杯",
        MUG,
        590..2_900,
        ["陶瓷马克杯", "早餐咖啡杯", "带柄水杯"],
        ["大容量", "加厚釉面", "可微波"],
        ["350ml", "400ml", "450ml"]
    ),
    kind!(
        1_033_021,
        "保温杯",
        BOTTLE,
        1_280..5_900,
        ["不锈钢保温杯", "运动水壶", "真空随手杯"],
        ["长效保温", "防漏密封", "食品级内胆"],
        ["500ml", "750ml", "1000ml"]
    ),
    kind!(
        1_042_954,
        "水壶",
        KETTLE,
        2_600..9_800,
        ["电热水壶", "烧水茶壶", "手冲咖啡壶"],
        ["自动断电", "加厚不锈钢", "家用快速烧水"],
        ["1.2L", "1.5L", "1.8L"]
    ),
    kind!(
        10_166,
        "T恤",
        TSHIRT,
        1_290..4_500,
        ["纯棉短袖T恤", "宽松上衣", "情侣打底衫"],
        ["夏季新款", "透气吸汗", "重磅面料"],
        ["S-3XL", "M-4XL", "220g"]
    ),
    kind!(
        1_037_192,
        "帽子",
        CAP,
        690..2_800,
        ["棒球帽", "鸭舌帽", "遮阳帽"],
        ["可调节", "刺绣软顶", "户外防晒"],
        ["56-60cm", "均码", "儿童款"]
    ),
    kind!(
        1_038_378,
        "运动鞋",
        SNEAKER,
        3_500..12_800,
        ["休闲运动鞋", "网面跑步鞋", "厚底小白鞋"],
        ["轻便防滑", "透气网面", "软底减震"],
        ["36-44码", "35-40码", "39-46码"]
    ),
    kind!(
        1_042_840,
        "手提包",
        HANDBAG,
        2_900..15_800,
        ["单肩手提包", "真皮斜挎包", "通勤托特包"],
        ["大容量", "头层牛皮", "百搭款"],
        ["28cm", "32cm", "小号"]
    ),
    kind!(
        1_042_841,
        "双肩包",
        BACKPACK,
        2_500..9_900,
        ["双肩背包", "学生书包", "旅行电脑包"],
        ["防泼水", "大容量", "减负护脊"],
        ["15.6寸", "20L", "30L"]
    ),
    kind!(
        1_034_510,
        "台灯",
        LAMP,
        2_200..13_800,
        ["床头台灯", "布艺装饰灯", "卧室小夜灯"],
        ["暖光护眼", "三档调光", "北欧风"],
        ["E27", "40cm", "USB款"]
    ),
    kind!(
        1_032_117,
        "椅子",
        CHAIR,
        4_900..26_800,
        ["北欧餐椅", "靠背休闲椅", "实木脚椅子"],
        ["加厚坐垫", "稳固承重", "简约家用"],
        ["承重150kg", "坐高45cm", "两把装"]
    ),
    kind!(
        1_036_633,
        "玩具车",
        TOY_CAR,
        390..3_900,
        ["儿童玩具车", "惯性小汽车", "合金车模"],
        ["耐摔环保", "可回力", "益智早教"],
        ["1:32", "1:24", "大号"]
    ),
    kind!(
        1_040_214,
        "手表",
        WATCH,
        1_500..19_800,
        ["石英手表", "男士腕表", "学生电子表"],
        ["防水夜光", "皮带日历", "简约表盘"],
        ["38mm", "42mm", "40mm"]
    ),
    kind!(
        1_047_703,
        "耳机",
        HEADPHONES,
        1_900..16_800,
        ["头戴式蓝牙耳机", "无线降噪耳机", "游戏电竞耳麦"],
        ["重低音", "超长续航", "可折叠"],
        ["5.3版", "40h", "带麦"]
    ),
    kind!(
        1_047_711,
        "手机壳",
        PHONE_CASE,
        180..1_900,
        ["硅胶手机壳", "磨砂保护套", "全包防摔壳"],
        ["防指纹", "肤感磨砂", "气囊防摔"],
        ["适用15", "适用16Pro", "Mate系列"]
    ),
];

/// A colour as sellers name it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shade {
    pub(super) name: &'static str,
    pub(super) tint: Tint,
}

const fn shade(name: &'static str, r: u8, g: u8, b: u8) -> Shade {
    Shade { name, tint: Tint::rgb(r, g, b) }
}

pub(super) const SHADES: [Shade; 14] = [
    shade("白色", 240, 238, 233),
    shade("黑色", 44, 44, 49),
    shade("红色", 196, 40, 46),
    shade("蓝色", 38, 88, 172),
    shade("天蓝色", 118, 184, 224),
    shade("粉色", 240, 166, 184),
    shade("绿色", 58, 140, 86),
    shade("墨绿色", 30, 72, 62),
    shade("黄色", 244, 200, 62),
    shade("橙色", 236, 120, 42),
    shade("紫色", 124, 84, 166),
    shade("灰色", 142, 146, 152),
    shade("棕色", 122, 78, 50),
    shade("米色", 224, 206, 174),
];

pub(super) const LEADS: [&str; 8] =
    ["厂家直销", "现货批发", "跨境专供", "源头工厂", "一件代发", "工厂直供", "外贸爆款", "新款热卖"];
pub(super) const STYLES: [&str; 8] = ["创意", "简约", "复古", "卡通", "网红", "高档", "日系", "商务"];
pub(super) const PRINT_WORDS: [&str; 12] =
    ["纯色", "条纹", "波点", "星星", "爱心", "花朵", "小猫", "山峰", "波浪纹", "叶子", "圆环", "格子"];

pub(super) const PLACES: [&str; 10] =
    ["义乌市", "广州市", "深圳市", "东莞市", "泉州市", "宁波市", "温州市", "潮州市", "佛山市", "青岛市"];
pub(super) const NAMES: [&str; 12] =
    ["恒达", "鑫源", "美佳", "瑞丰", "锦程", "华盛", "宏图", "百川", "优品", "晨光", "金海", "顺兴"];
pub(super) const TRADES: [&str; 6] =
    ["日用品有限公司", "贸易商行", "电子商务有限公司", "工艺品厂", "进出口有限公司", "实业有限公司"];
pub(super) const CREDITS: [&str; 5] = ["5A", "4A", "AAA", "AA", "A"];
