//! Words for synthetic accounts and tweets.

/// A language with its share of the accounts.
pub(super) struct Language {
    /// As in `lang`.
    pub code: &'static str,
    /// Percentage of the accounts.
    pub share: u64,
    pub city: &'static str,
    pub time_zone: &'static str,
    /// Seconds east of Greenwich.
    pub utc_offset: i32,
    pub words: &'static [&'static str],
}

/// Languages by share; the shares add up to 100.
// The formatter would put each of the longer words on a separate line.
#[rustfmt::skip]
pub(super) const LANGUAGES: [Language; 10] = [
    Language {
        code: "en",
        share: 38,
        city: "London, UK",
        time_zone: "London",
        utc_offset: 0,
        words: &[
            "the", "a", "of", "morning", "everyone", "because", "never", "always", "music", "rain",
            "coffee", "train", "is", "late", "again", "loving", "this", "new", "album", "watching",
            "match", "tonight", "what", "goal", "my", "sister", "says", "hello", "don't", "forget", "to",
            "vote", "\"quote\"", "work", "tomorrow", "finally", "home", "&amp;", "happy", "birthday",
            "friends", "&lt;3",
        ],
    },
    Language {
        code: "ja",
        share: 15,
        city: "東京",
        time_zone: "Tokyo",
        utc_offset: 32_400,
        words: &[
            "おはよう", "今日", "は", "寒い", "ですね", "電車", "が", "遅れて", "いる", "猫", "かわいい",
            "ありがとう", "ラーメン", "食べたい", "眠い", "明日", "も", "仕事", "新しい", "ゲーム",
            "楽しい", "写真", "を", "撮った", "、", "。", "笑", "すごい", "東京", "雨",
        ],
    },
    Language {
        code: "es",
        share: 12,
        city: "Madrid, España",
        time_zone: "Madrid",
        utc_offset: 3600,
        words: &[
            "buenos", "días", "hoy", "mañana", "siempre", "nunca", "qué", "partido", "gol", "el", "la",
            "de", "corazón", "niño", "años", "canción", "música", "¡vamos!", "¿por", "qué?", "noche",
            "amigos", "trabajo", "lluvia", "feliz", "cumpleaños", "todo", "bien", "gracias", "casa",
        ],
    },
    Language {
        code: "it",
        share: 10,
        city: "Torino, Italia",
        time_zone: "Rome",
        utc_offset: 3600,
        words: &[
            "buongiorno", "a", "tutti", "perché", "oggi", "domani", "piove", "ancora", "città", "è",
            "così", "bella", "la", "partita", "stasera", "caffè", "treno", "in", "ritardo", "l'amore",
            "sempre", "mai", "più", "che", "noia", "grazie", "mille", "università", "esame", "finalmente",
        ],
    },
    Language {
        code: "pt",
        share: 9,
        city: "São Paulo, Brasil",
        time_zone: "Brasilia",
        utc_offset: -10_800,
        words: &[
            "bom", "dia", "não", "você", "também", "amanhã", "coração", "hoje", "jogo", "do",
            "corinthians", "praia", "chuva", "trabalho", "saudade", "muito", "obrigado", "feliz",
            "aniversário", "irmão", "que", "isso", "gente", "kkkk", "música", "nova",
        ],
    },
    Language {
        code: "fr",
        share: 5,
        city: "Paris",
        time_zone: "Paris",
        utc_offset: 3600,
        words: &[
            "bonjour", "à", "tous", "aujourd'hui", "déjà", "très", "été", "où", "ça", "va", "le", "métro",
            "en", "retard", "encore", "musique", "forêt", "cœur", "noël", "soirée", "merci", "beaucoup",
            "jamais", "toujours", "match", "garçon",
        ],
    },
    Language {
        code: "ru",
        share: 4,
        city: "Москва",
        time_zone: "Moscow",
        utc_offset: 14_400,
        words: &[
            "доброе", "утро", "сегодня", "снег", "опять", "работа", "завтра", "люблю", "музыку", "в",
            "метро", "на", "улице", "холодно", "спасибо", "друзья", "кофе", "новый", "год", "почему",
            "никогда", "всегда", "хорошо",
        ],
    },
    Language {
        code: "ar",
        share: 3,
        city: "القاهرة",
        time_zone: "Cairo",
        utc_offset: 7200,
        words: &[
            "صباح", "الخير", "اليوم", "غدا", "شكرا", "جدا", "مباراة", "جميلة", "قلبي", "الحمد", "لله",
            "يا", "رب", "مصر", "حب", "كل", "عام", "وأنتم", "بخير", "قهوة",
        ],
    },
    Language {
        code: "tr",
        share: 3,
        city: "İstanbul",
        time_zone: "Istanbul",
        utc_offset: 7200,
        words: &[
            "günaydın", "bugün", "yarın", "çok", "güzel", "değil", "şimdi", "yağmur", "maç", "gol", "aşk",
            "teşekkürler", "arkadaş", "müzik", "İstanbul", "ve", "bir", "bu", "için", "neden", "hiç",
        ],
    },
    Language {
        code: "ko",
        share: 1,
        city: "서울",
        time_zone: "Seoul",
        utc_offset: 32_400,
        words: &[
            "안녕하세요", "오늘", "내일", "비가", "와요", "음악", "사랑해", "감사합니다", "커피", "친구",
            "학교", "정말", "좋아요", "사진", "지하철", "늦었다",
        ],
    },
];

/// First names, short enough that a screen name with a number has at most 15 characters.
pub(super) const FIRST_NAMES: [&str; 24] = [
    "anna", "marco", "yuki", "pedro", "lucia", "ivan", "sara", "omar", "elif", "jisoo", "paul", "nina",
    "luca", "maria", "ken", "ines", "joao", "olga", "tom", "lea", "hugo", "mina", "david", "rosa",
];

/// Last names.
pub(super) const LAST_NAMES: [&str; 16] = [
    "Rossi",
    "García",
    "Müller",
    "Tanaka",
    "Silva",
    "Иванов",
    "Smith",
    "Öztürk",
    "김",
    "Dubois",
    "O'Brien",
    "Nowak",
    "佐藤",
    "Ferrari",
    "حسن",
    "Jones",
];

/// Pictures outside and within the Basic Multilingual Plane.
pub(super) const PICTURES: [&str; 8] = ["😀", "❤", "🎉", "🐈", "☀", "👍🏽", "⚽", "🇮🇹"];

/// Client programs of tweets, with their URLs.
pub(super) const SOURCES: [(&str, &str); 5] = [
    ("http://twitter.com/download/iphone", "Twitter for iPhone"),
    ("http://twitter.com/download/android", "Twitter for Android"),
    ("http://blackberry.com/twitter", "Twitter for BlackBerry®"),
    ("http://www.tweetdeck.com", "TweetDeck"),
    ("http://instagram.com", "Instagram"),
];

/// The language for an account's random number, by share.
pub(super) fn language(number: u64) -> &'static Language {
    let mut rest = number % 100;
    for language in &LANGUAGES {
        if rest < language.share {
            return language;
        }
        rest -= language.share;
    }
    &LANGUAGES[0]
}
