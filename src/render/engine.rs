//! Tera with our filters. The built-in templates are parsed once a process, the user's once a rendering.

use std::sync::LazyLock;

use tera::{Context, Tera};

use super::filters;
use super::unrolled;
use crate::assets::{Sources, TEMPLATES};
use crate::error::{Failure, Kind, Problem};

/// The built-in templates, and what [`unrolled`] makes of them.
pub static BUILT_IN: LazyLock<Tera> = LazyLock::new(|| {
    let mut tera = empty();
    let own = TEMPLATES
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let templates = own
        .filter(|(path, _)| is_template(path))
        .chain(unrolled::templates());
    tera.add_raw_templates(templates)
        .expect("the built-in templates are tested");
    tera
});

/// The templates of a project, some of which are the user's.
pub fn of(sources: &Sources) -> Result<Tera, Failure> {
    let mut tera = empty();
    tera.add_raw_templates(sources.templates.iter().filter(|(path, _)| is_template(path)))
        .map_err(|error| broken(&error))?;
    Ok(tera)
}

fn empty() -> Tera {
    let mut tera = Tera::new();
    filters::register(&mut tera);
    tera
}

fn is_template(path: &str) -> bool {
    path.ends_with(".tera")
}

pub fn run(tera: &Tera, template: &str, context: &Context) -> Result<String, Failure> {
    tera.render(template, context).map_err(|error| broken(&error))
}

pub fn broken(error: &tera::Error) -> Failure {
    let text = error.to_string();
    let mut lines = text.lines().map(str::to_owned);
    let what = lines.next().unwrap_or_default();
    Failure::new(
        Kind::Input,
        Problem::new(format!("a template is broken: {what}"))
            .evidence(lines.collect())
            .fix("correct the template, or remove your copy from templates/ to use the built-in one"),
    )
}
