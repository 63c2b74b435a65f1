//! Getting the file that is asked for, once each.

use std::rc::Rc;

use super::{
    Included, Loader, Perhaps, World,
    entry::{Wanted, What},
    integrity,
    origin::Origin,
    read::ComponentFacts,
    record,
};
use crate::{
    Diagnostic, FileId, Span,
    fetch::{Address, Why},
    resolve::location::is_address,
    yaml::Document,
};

/// What a file is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// An origin's number, and the path in it.
    File(usize, String),
    Remote(String),
    Template(String),
    Component(String),
}

/// A file that was read.
#[derive(Clone)]
pub(super) struct Source<'a> {
    /// None: it is no YAML, which was told.
    pub(super) document: Option<Rc<Document>>,
    /// What its own includes are looked up in.
    pub(super) origin: Rc<Origin<'a>>,
    pub(super) bytes: usize,
    pub(super) component: Option<Rc<ComponentFacts>>,
}

/// A file as it was got.
struct Content<'a> {
    bytes: Vec<u8>,
    /// How it is called among all files of the configuration.
    name: String,
    origin: Rc<Origin<'a>>,
    /// The commit, where the origin does not say it.
    commit: Option<String>,
    component: Option<ComponentFacts>,
}

impl<'a> Loader<'a> {
    /// The file, from earlier or anew.
    pub(super) fn source(
        &mut self,
        wanted: &Wanted<'_>,
        origin: &Rc<Origin<'a>>,
    ) -> Perhaps<Source<'a>> {
        let (key, within) = match &wanted.what {
            What::Local { path } => {
                let key = Key::File(origin.id, within(path).to_owned());
                (key, Rc::clone(origin))
            }
            What::Project {
                path,
                reference,
                file,
                spans,
            } => {
                let Some(project) = self.project(path, reference.as_deref(), *spans)? else {
                    return Ok(None);
                };
                (Key::File(project.id, within(file).to_owned()), project)
            }
            What::Remote { url, .. } => (Key::Remote(url.clone()), self.nowhere()),
            What::Template { name } => (Key::Template(name.clone()), self.nowhere()),
            What::Component { address } => (Key::Component(address.clone()), self.nowhere()),
        };
        // The hash is of this include, not of the file.
        if let Some(source) = self.read.get(&key).filter(|_| !wanted.what.is_checked()) {
            return Ok(source.clone());
        }
        let source = match self.content(wanted, within)? {
            Some(content) => self.read(wanted, content),
            None => None,
        };
        self.read.insert(key, source.clone());
        Ok(source)
    }

    /// Gets the bytes.
    fn content(&mut self, wanted: &Wanted<'_>, origin: Rc<Origin<'a>>) -> Perhaps<Content<'a>> {
        match &wanted.what {
            What::Local { path } => Ok(self.local_content(path, wanted.span, origin)),
            What::Project { path, file, .. } => {
                let project = self.shown(path);
                Ok(self.project_content(&project, file, wanted.span, origin))
            }
            What::Remote {
                url,
                integrity,
                cache,
            } => {
                let shown = self.shown(url);
                if !is_address(url) {
                    let message = format!("Remote file `{shown}` does not have a valid address!");
                    return Ok(self.tell("include", message, wanted.span));
                }
                let bytes = match self.includes.reach.fetch.remote(url, *cache) {
                    Ok(bytes) => bytes,
                    Err(failed) => {
                        return self.failed(&failed, remote(&failed.why, &shown), wanted.span);
                    }
                };
                if integrity
                    .as_ref()
                    .is_some_and(|hash| !integrity::holds(hash, &bytes))
                {
                    let message = format!("Remote file `{shown}` failed integrity check!");
                    return Ok(self.tell("include", message, wanted.span));
                }
                Ok(Some(Content::alone(bytes, shown, None, origin)))
            }
            What::Template { name } => self.template_content(name, wanted.span, origin),
            What::Component { address } => self.component_content(address, wanted.span),
        }
    }

    fn local_content(
        &mut self,
        location: &str,
        span: Span,
        origin: Rc<Origin<'a>>,
    ) -> Option<Content<'a>> {
        let path = within(location);
        let shown = self.shown(location);
        let Some(files) = origin.files() else {
            let message = format!("Local file `{shown}` does not have project!");
            return self.tell("include", message, span);
        };
        let Some(bytes) = files.read(path) else {
            let message = format!("Local file `{shown}` does not exist!");
            if self.includes.world == World::Open && !files.are_all() {
                let help = "there is no repository around the file that includes it".to_owned();
                return self.unknown(message, Some(help), span);
            }
            return self.missing(path, message, span, &origin);
        };
        if is_blank(&bytes) {
            return self.tell("include", format!("Local file `{shown}` is empty!"), span);
        }
        Some(Content::of(bytes, path, origin))
    }

    fn project_content(
        &mut self,
        project: &str,
        file: &str,
        span: Span,
        origin: Rc<Origin<'a>>,
    ) -> Option<Content<'a>> {
        let path = within(file);
        let shown = self.shown(file);
        let Some(bytes) = origin.files().and_then(|files| files.read(path)) else {
            let message = format!("Project `{project}` file `{shown}` does not exist!");
            return self.missing(path, message, span, &origin);
        };
        if is_blank(&bytes) {
            let message = format!("Project `{project}` file `{shown}` is empty!");
            return self.tell("include", message, span);
        }
        Some(Content::of(bytes, path, origin))
    }

    fn template_content(
        &mut self,
        name: &str,
        span: Span,
        origin: Rc<Origin<'a>>,
    ) -> Perhaps<Content<'a>> {
        let shown = self.shown(name);
        if !name.ends_with(".gitlab-ci.yml") {
            let message = format!("Template file `{shown}` is not a valid location!");
            return Ok(self.tell("include", message, span));
        }
        let empty = format!("Included file `{shown}` is empty or does not exist!");
        match self.includes.reach.fetch.template(name) {
            Ok(template) if is_blank(&template.content) => Ok(self.tell("include", empty, span)),
            Ok(template) => {
                let name = format!("template:{shown}");
                let content = Content::alone(template.content, name, template.commit, origin);
                Ok(Some(content))
            }
            Err(failed) => {
                let message = match &failed.why {
                    Why::Missing | Why::Unconfigured | Why::NoReference | Why::Address => empty,
                    why => format!("Template file `{shown}` could not be read: {why}"),
                };
                self.failed(&failed, message, span)
            }
        }
    }

    fn component_content(&mut self, address: &str, span: Span) -> Perhaps<Content<'a>> {
        let shown = self.shown(address);
        let said = |problem: &str| format!("Component '{shown}' - {problem}");
        let Some(parts) = Address::parse(address) else {
            let message = said("the component path is not supported");
            let help = "write `<host>/<project>/<component>@<version>`";
            let found = Diagnostic::error("include", message, Some(span)).help(help);
            self.loaded.diagnostics.push(found);
            return Ok(None);
        };
        let component = match self.includes.reach.fetch.component(&parts) {
            Ok(component) => component,
            Err(failed) => {
                let problem = match &failed.why {
                    Why::Missing | Why::Unconfigured => {
                        "project does not exist or you don't have sufficient permissions".to_owned()
                    }
                    Why::NoReference => "content not found".to_owned(),
                    Why::Address => "the component path is not supported".to_owned(),
                    why => format!("could not be read: {why}"),
                };
                return self.failed(&failed, said(&problem), span);
            }
        };
        let facts = ComponentFacts {
            name: parts.name.clone(),
            sha: component.commit.clone(),
            version: component.version.clone(),
            reference: parts.reference.clone(),
        };
        let project = format!("{}/{}", parts.host, parts.project);
        let origin = self.origin(
            &self.shown(&project),
            Some(&self.shown(&parts.reference)),
            component.commit,
            component.version,
            component.files,
        );
        let paths = [
            format!("templates/{}.yml", parts.name),
            format!("templates/{}/template.yml", parts.name),
        ];
        let files = origin.files();
        let found = paths.iter().find_map(|path| {
            let bytes = files.and_then(|files| files.read(path))?;
            (!is_blank(&bytes)).then_some((path, bytes))
        });
        let Some((path, bytes)) = found else {
            let names: Vec<&str> = origin
                .paths()
                .iter()
                .filter_map(|it| component_of(it))
                .collect();
            let near = self.nearest.find(&parts.name, names.into_iter());
            let help = near.map_or_else(
                || format!("it has neither `{}` nor `{}`", paths[0], paths[1]),
                |near| format!("a component `{near}` exists"),
            );
            let found = Diagnostic::error("include", said("content not found"), Some(span));
            self.loaded.diagnostics.push(found.help(help));
            return Ok(None);
        };
        let content = Content::of(bytes, path, Rc::clone(&origin));
        Ok(Some(Content {
            component: Some(facts),
            ..content
        }))
    }

    /// Takes a file in: among the sources, into the record, as a tree.
    fn read(&mut self, wanted: &Wanted<'_>, content: Content<'a>) -> Option<Source<'a>> {
        let location = self.shown(wanted.what.location());
        let (project, commit) = content.origin.project.clone().unzip();
        self.loaded.included.push(Included {
            kind: wanted.what.kind(),
            location: location.clone(),
            project,
            commit: content.commit.or(commit),
            version: content.origin.version.clone(),
            sha256: record::sha256(&content.bytes),
        });
        let bytes = content.bytes.len();
        let Ok(text) = String::from_utf8(content.bytes) else {
            let message = format!("`{location}`: Invalid YAML syntax");
            return self.tell("include", message, wanted.span);
        };
        let file: FileId = self.sources.include(content.name, text, wanted.span);
        let document = self.document(file, Some(&location));
        Some(Source {
            document: document.map(Rc::new),
            origin: content.origin,
            bytes,
            component: content.component.map(Rc::new),
        })
    }

    /// Another project at a ref; opened once.
    fn project(
        &mut self,
        path: &str,
        reference: Option<&str>,
        (project_span, reference_span): (Span, Span),
    ) -> Perhaps<Rc<Origin<'a>>> {
        let key = (path.to_owned(), reference.map(str::to_owned));
        let shown = self.shown(path);
        let shown_reference = reference.map(|it| self.shown(it));
        let opened = match self.projects.get(&key) {
            Some(known) => known.clone(),
            None => {
                let opened = self.includes.reach.fetch.project(path, reference);
                let opened = opened.map(|opened| {
                    let reference = shown_reference.as_deref();
                    self.origin(&shown, reference, opened.commit, None, opened.files)
                });
                self.projects.insert(key, opened.clone());
                opened
            }
        };
        let failed = match opened {
            Ok(origin) => return Ok(Some(origin)),
            Err(failed) => failed,
        };
        let (message, span) = match &failed.why {
            Why::Missing | Why::Unconfigured | Why::Address => (not_found(&shown), project_span),
            Why::NoReference => {
                let reference = shown_reference.as_deref().unwrap_or("HEAD");
                let message = format!("Project `{shown}` reference `{reference}` does not exist!");
                (message, reference_span)
            }
            why => {
                let message = format!("Project `{shown}` could not be read: {why}");
                (message, project_span)
            }
        };
        self.failed(&failed, message, span)
    }

    fn origin(
        &mut self,
        project: &str,
        reference: Option<&str>,
        commit: String,
        version: Option<String>,
        files: Box<dyn crate::Files>,
    ) -> Rc<Origin<'a>> {
        let id = self.origins;
        self.origins += 1;
        Rc::new(Origin::project(
            id, project, reference, commit, version, files,
        ))
    }

    fn nowhere(&self) -> Rc<Origin<'a>> {
        Rc::new(Origin::nowhere())
    }

    /// Tells that a file is not there, and which one is.
    fn missing<T>(
        &mut self,
        path: &str,
        message: String,
        span: Span,
        origin: &Origin<'_>,
    ) -> Option<T> {
        let names: Vec<&str> = origin.paths().iter().map(String::as_str).collect();
        let near = self.nearest.find(path, names.into_iter());
        let mut diagnostic = Diagnostic::error("include", message, Some(span));
        diagnostic.help = near.map(|near| format!("a file `{near}` exists"));
        self.loaded.diagnostics.push(diagnostic);
        None
    }
}

impl<'a> Content<'a> {
    /// A file of an origin.
    fn of(bytes: Vec<u8>, path: &str, origin: Rc<Origin<'a>>) -> Content<'a> {
        let name = origin.name_of(path);
        Content::alone(bytes, name, None, origin)
    }

    fn alone(
        bytes: Vec<u8>,
        name: String,
        commit: Option<String>,
        origin: Rc<Origin<'a>>,
    ) -> Content<'a> {
        Content {
            bytes,
            name,
            origin,
            commit,
            component: None,
        }
    }
}

impl What {
    /// Whether the file's content is compared with a hash.
    fn is_checked(&self) -> bool {
        matches!(self, What::Remote { integrity, .. } if integrity.is_some())
    }
}

/// GitLab's sentence about a project that is not there, or must not be read.
pub(super) fn not_found(project: &str) -> String {
    format!(
        "Project `{project}` not found or access denied! Make sure any includes in the pipeline \
         configuration are correctly defined."
    )
}

/// A path from its repository's root.
fn within(location: &str) -> &str {
    location.trim_start_matches('/')
}

fn is_blank(content: &[u8]) -> bool {
    content.iter().all(u8::is_ascii_whitespace)
}

/// The component that a file of a repository is.
fn component_of(path: &str) -> Option<&str> {
    let path = path.strip_prefix("templates/")?;
    let name = path.strip_suffix("/template.yml");
    name.or_else(|| path.strip_suffix(".yml"))
        .filter(|name| !name.contains('/'))
}

/// GitLab's sentence about a remote file.
fn remote(why: &Why, url: &str) -> String {
    let tried = |attempts: u32| match attempts {
        1 => "1 attempt".to_owned(),
        _ => format!("{attempts} attempts"),
    };
    let because = match why {
        Why::Missing | Why::Unconfigured | Why::NoReference | Why::Address => {
            return format!("Remote file `{url}` does not have a valid address!");
        }
        Why::Blocked(reason) => format!("because {reason}"),
        Why::Status { code, attempts } => {
            format!(
                "after {} because of HTTP code `{code}` error",
                tried(*attempts)
            )
        }
        Why::Timeout { attempts } => {
            format!("after {} because of a timeout error", tried(*attempts))
        }
        Why::Socket { attempts } => format!("after {} because of a socket error", tried(*attempts)),
        why => format!("because of {why}"),
    };
    format!("Remote file `{url}` could not be fetched {because}!")
}
