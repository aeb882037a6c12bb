//! XML of token files, read one child of the root at a time.
//!
//! Only what such files need is understood: no document type and with it no entities of its own, which keeps a small file
//! from becoming a large one. Namespaces are ignored, as the original does.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

use super::ImportError;

/// The deepest nesting below the root.
const DEPTH_MAX: usize = 32;
/// The most elements of one child of the root.
const ELEMENTS_MAX: usize = 10_000;
/// The longest text of one child of the root, in bytes.
const TEXT_MAX: usize = 1024 * 1024;

/// An element with everything in it. Names are without prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    /// The line it begins in.
    pub(super) line: usize,
    pub(super) text: String,
    attributes: Vec<(String, String)>,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// The first child of this name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The element at the end of a path of names.
    pub(super) fn find(&self, path: &str) -> Option<&Self> {
        path.split('/').try_fold(self, |element, name| element.child(name))
    }

    /// The text at the end of a path, without blanks around it.
    pub(super) fn text_at(&self, path: &str) -> Option<&str> {
        self.find(path).map(|element| element.text.trim())
    }

    /// An attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A file whose root was opened.
pub(super) struct Document<'a> {
    text: &'a str,
    reader: Reader<&'a [u8]>,
    /// Name of the root, without prefix.
    pub(super) root: String,
    /// Up to where lines were counted, and how many.
    counted: (usize, usize),
    /// The root was empty or is closed.
    over: bool,
}

impl<'a> Document<'a> {
    /// Opens the root.
    ///
    /// # Errors
    /// When the text is no XML, or has a document type.
    pub(super) fn open(text: &'a str) -> Result<Self, ImportError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let reader = Reader::from_str(text);
        let mut document = Self { text, reader, root: String::new(), counted: (0, 1), over: false };
        loop {
            match document.next()? {
                Event::Start(start) => document.root = local_name(&start),
                Event::Empty(start) => {
                    document.root = local_name(&start);
                    document.over = true;
                }
                Event::Eof => return Err(document.error("there is no XML element in the file")),
                Event::Text(text) if !text.trim().is_empty() => {
                    return Err(document.error("there is text in front of the XML"));
                }
                Event::CData(_) | Event::GeneralRef(_) | Event::End(_) => {
                    return Err(document.error("there is text in front of the XML"));
                }
                Event::Text(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {
                    continue;
                }
            }
            return Ok(document);
        }
    }

    /// The next child of the root.
    ///
    /// # Errors
    /// When the text is no XML, or a limit is passed.
    pub(super) fn child(&mut self) -> Result<Option<Element>, ImportError> {
        while !self.over {
            match self.next()? {
                Event::Start(start) => return self.complete(&start).map(Some),
                Event::Empty(start) => return self.element(&start).map(Some),
                Event::End(_) => self.over = true,
                Event::Eof => return Err(self.error("the file ends in the middle")),
                Event::Text(_)
                | Event::CData(_)
                | Event::GeneralRef(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_) => {}
            }
        }
        Ok(None)
    }

    /// An element to its end, its children included.
    fn complete(&mut self, start: &BytesStart<'_>) -> Result<Element, ImportError> {
        let mut open = vec![self.element(start)?];
        let (mut elements, mut length) = (1, 0);
        loop {
            let event = self.next()?;
            match &event {
                Event::Start(start) => open.push(self.element(start)?),
                Event::Empty(start) => {
                    let element = self.element(start)?;
                    self.innermost(&mut open)?.children.push(element);
                }
                Event::End(_) => {
                    let done = open.pop().ok_or_else(|| self.error("an element is closed twice"))?;
                    match open.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None => return Ok(done),
                    }
                }
                Event::Text(text) => self.innermost(&mut open)?.text.push_str(text),
                Event::CData(text) => self.innermost(&mut open)?.text.push_str(text),
                Event::GeneralRef(name) => {
                    let c = name.resolve_char_ref().ok().flatten();
                    let text =
                        c.map(String::from).or_else(|| resolve_predefined_entity(name).map(str::to_owned));
                    let text = text.ok_or_else(|| self.error("an entity that XML itself does not define"))?;
                    self.innermost(&mut open)?.text.push_str(&text);
                }
                Event::Eof => return Err(self.error("the file ends in the middle")),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
            elements += usize::from(matches!(event, Event::Start(_) | Event::Empty(_)));
            length += event.len();
            if open.len() > DEPTH_MAX || elements > ELEMENTS_MAX || length > TEXT_MAX {
                return Err(self.error("an element is nested too deeply or too large"));
            }
        }
    }

    fn innermost<'e>(&self, open: &'e mut [Element]) -> Result<&'e mut Element, ImportError> {
        open.last_mut().ok_or_else(|| self.error("text outside of any element"))
    }

    fn next(&mut self) -> Result<Event<'a>, ImportError> {
        let event = self.reader.read_event();
        self.count_lines();
        match event {
            Ok(Event::DocType(_)) => Err(self.error("a document type is not allowed in a token file")),
            Ok(event) => Ok(event),
            Err(problem) => Err(self.error(&format!("not well-formed XML: {problem}"))),
        }
    }

    fn element(&self, start: &BytesStart<'_>) -> Result<Element, ImportError> {
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| self.error("an attribute is malformed"))?;
            let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
            let value = value.map_err(|_| self.error("an attribute is malformed"))?;
            attributes.push((attribute.key.local_name().as_ref().to_owned(), value.into_owned()));
        }
        Ok(Element { name: local_name(start), line: self.counted.1, attributes, ..Element::default() })
    }

    /// Counts the lines up to where the reader is.
    fn count_lines(&mut self) {
        let (from, lines) = self.counted;
        let to = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX).min(self.text.len());
        let passed = self.text.as_bytes().get(from..to).unwrap_or_default();
        let breaks = passed.iter().filter(|byte| **byte == b'\n').count();
        self.counted = (to.max(from), lines + breaks);
    }

    /// What is wrong where the reader is.
    pub(super) fn error(&self, problem: &str) -> ImportError {
        ImportError::at(self.counted.1, problem)
    }
}

fn local_name(start: &BytesStart<'_>) -> String {
    start.local_name().as_ref().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<Element>, ImportError> {
        let mut document = Document::open(text)?;
        let mut children = Vec::new();
        while let Some(child) = document.child()? {
            children.push(child);
        }
        Ok(children)
    }

    #[test]
    fn children_come_one_by_one() {
        let text = "\u{feff}<?xml version=\"1.0\"?>\n<!-- x --><p:Root xmlns:p=\"urn:x\">\n  <p:A Id=\"1 &lt; 2\">\n\
            <B> a&amp;b&#x43; <![CDATA[<d>]]></B><C/></p:A>\n<D/></p:Root>";
        let children = all(text).unwrap();
        assert_eq!(Document::open(text).unwrap().root, "Root");
        assert_eq!(children.len(), 2);
        assert_eq!(
            (children[0].name.as_str(), children[0].line, children[0].attribute("Id")),
            ("A", 3, Some("1 < 2"))
        );
        assert_eq!(children[0].text_at("B"), Some("a&bC <d>"));
        assert!(children[0].find("C").is_some() && children[0].find("B/C").is_none());
        assert_eq!((children[1].name.as_str(), children[1].line), ("D", 5));
        assert_eq!(all("<Empty/>").unwrap(), []);
    }

    #[test]
    fn what_is_not_xml_or_too_much_is_refused() {
        let deep = format!("<r>{}{}</r>", "<a>".repeat(100), "</a>".repeat(100));
        let many = format!("<r><a>{}</a></r>", "<b/>".repeat(ELEMENTS_MAX + 1));
        let long = format!("<r><a>{}</a></r>", "x".repeat(TEXT_MAX + 1));
        let laughs = "<!DOCTYPE r [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><r><x>&b;</x></r>";
        for (text, problem) in [
            ("", "no XML element"),
            ("serial,key", "text in front"),
            ("<r><a>", "ends in the middle"),
            ("<r><a></b></r>", "not well-formed"),
            ("<r><a b=1/></r>", "malformed"),
            ("<r><a>&nbsp;</a></r>", "entity"),
            (laughs, "document type"),
            (deep.as_str(), "too deeply"),
            (many.as_str(), "too large"),
            (long.as_str(), "too large"),
        ] {
            let message = all(text).unwrap_err().to_string();
            assert!(message.contains(problem), "{message}");
        }
    }
}
