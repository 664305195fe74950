//! The parameters of an inspection.

use serde::Deserialize;

use super::instant;
use super::words::words;

/// Longest query, in bytes.
const LONGEST_QUERY: usize = 500;
/// Most words, hashtags and names in a query.
const MOST_TERMS: usize = 20;

/// The raw parameters of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    query: String,
}

/// The tweets to inspect: those that match all of this.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// The start, Unix milliseconds.
    pub(super) from: Option<i64>,
    /// The end, exclusive.
    pub(super) to: Option<i64>,
    /// The raw query.
    pub(super) query: String,
    /// Words in the text.
    pub(super) words: Vec<String>,
    /// Hashtags, in lower case.
    pub(super) hashtags: Vec<String>,
    /// Screen names of the author, in lower case.
    pub(super) names: Vec<String>,
}

/// Why a request is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QuestionError {
    #[error("`{name}` is no date; give a day such as 2013-05-30, or a moment such as 2013-05-30T21:15:48Z")]
    Date { name: &'static str },
    #[error("`from` is not before `to`")]
    Order,
    #[error("the query is longer than {LONGEST_QUERY} bytes, or has more than {MOST_TERMS} words")]
    Long,
    #[error("the query has no word: give words, #hashtags and @authors")]
    Wordless,
}

impl Question {
    /// Parses parameters; absent and empty ones match everything.
    ///
    /// # Errors
    /// They are invalid.
    pub(super) fn of(asked: &Asked) -> Result<Self, QuestionError> {
        let query = asked.query.trim();
        if query.len() > LONGEST_QUERY {
            return Err(QuestionError::Long);
        }
        let mut question = Self {
            from: date(&asked.from, "from", 0)?,
            // A day as the end includes the whole day.
            to: date(&asked.to, "to", instant::DAY)?,
            query: query.to_owned(),
            ..Self::default()
        };
        if let (Some(from), Some(to)) = (question.from, question.to) {
            (from < to).then_some(()).ok_or(QuestionError::Order)?;
        }
        for part in query.split_whitespace() {
            question.add(part);
        }
        let terms = question.words.len() + question.hashtags.len() + question.names.len();
        match terms {
            0 if !query.is_empty() => Err(QuestionError::Wordless),
            0..=MOST_TERMS => Ok(question),
            _ => Err(QuestionError::Long),
        }
    }

    fn add(&mut self, part: &str) {
        let name =
            |text: &str| text.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_').to_lowercase();
        let (kind, term) = match (part.strip_prefix('#'), part.strip_prefix('@')) {
            (Some(tag), _) => (&mut self.hashtags, name(tag)),
            (_, Some(author)) => (&mut self.names, name(author)),
            _ => return self.words.extend(words(part)),
        };
        if !term.is_empty() {
            kind.push(term);
        }
    }
}

fn date(text: &str, name: &'static str, day_is: i64) -> Result<Option<i64>, QuestionError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let day = instant::parse_day(text).map(|first| first + day_is);
    day.or_else(|| instant::parse(text)).map(Some).ok_or(QuestionError::Date { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(from: &str, to: &str, query: &str) -> Result<Question, QuestionError> {
        Question::of(&Asked { from: from.to_owned(), to: to.to_owned(), query: query.to_owned() })
    }

    #[test]
    fn a_day_as_the_end_is_meant_as_a_whole() {
        let question = ask("2013-05-29", "2013-05-29", "").unwrap();
        assert_eq!(question.to.unwrap() - question.from.unwrap(), instant::DAY);
        let moments = ask("2013-05-29T00:00:00Z", "2013-05-29T00:00:01Z", "").unwrap();
        assert_eq!(moments.to.unwrap() - moments.from.unwrap(), 1000);
        assert_eq!(ask("", " ", " ").unwrap(), Question::default());
    }

    #[test]
    fn a_query_is_words_hashtags_and_authors() {
        let question = ask("", "", "  Ciao, #Roma! @LEA_7: mondo \u{2600} # ").unwrap();
        assert_eq!(question.words, ["ciao", "mondo"]);
        assert_eq!((question.hashtags, question.names), (vec!["roma".to_owned()], vec!["lea_7".to_owned()]));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(ask("yesterday", "", ""), Err(QuestionError::Date { name: "from" }));
        assert_eq!(ask("", "2013-02-30", ""), Err(QuestionError::Date { name: "to" }));
        assert_eq!(ask("2013-05-30", "2013-05-29", ""), Err(QuestionError::Order));
        assert_eq!(ask("", "", "\u{2600} #"), Err(QuestionError::Wordless));
        assert_eq!(ask("", "", &"x ".repeat(251)), Err(QuestionError::Long));
        assert_eq!(ask("", "", &"x ".repeat(21)), Err(QuestionError::Long));
    }
}
