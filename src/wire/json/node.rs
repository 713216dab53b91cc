//! What a [`Scanner`](super::Scanner) keeps of a JSON value.

/// A JSON value, reduced to the parts a [`Plan`](super::Plan) asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written: it never passes through floating point.
    Number(Box<str>),
    /// A string, cut where it is longer than a name.
    Text(Box<str>),
    /// A list; at most the bound's number of items.
    List(Vec<Node>),
    /// An object, in its order; of a key given twice the last value stands.
    Object(Vec<(Box<str>, Node)>),
    /// There was a value, and its content was not asked for.
    Opaque,
}

impl Node {
    /// The value of a key; `None` where it is absent or `null`.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(fields) = self else { return None };
        let (_, value) = fields.iter().find(|(name, _)| &**name == key)?;
        if *value == Self::Null { None } else { Some(value) }
    }

    /// The value at a path of keys, such as `usage/input_tokens`.
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |node, key| node.get(key))
    }

    /// The string at a path, unless it is empty.
    pub fn text(&self, path: &str) -> Option<&str> {
        match self.at(path)? {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The items of the list at a path; empty where there is none.
    pub fn list(&self, path: &str) -> &[Self] {
        if let Some(Self::List(items)) = self.at(path) { items } else { &[] }
    }

    /// Its fields; empty where it is no object.
    pub fn fields(&self) -> &[(Box<str>, Self)] {
        if let Self::Object(fields) = self { fields } else { &[] }
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// The value at an RFC 6901 JSON pointer.
    pub fn pointer(&self, pointer: &str) -> Option<&Self> {
        let rest = pointer.strip_prefix('/')?;
        rest.split('/').try_fold(self, |node, step| match node {
            Self::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => node.get(&step.replace("~1", "/").replace("~0", "~")),
        })
    }
}
