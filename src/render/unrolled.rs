//! The loops over nodes of the built-in templates, taken out of them: what a loop says of a replica is rendered once and
//! filled in for each.

use tera::{Context, Tera};

use super::folders::BACKENDS_TEMPLATE;
use super::pattern::{MARK, Pattern, Words};
use super::{COMPOSE_TEMPLATE, NodeView, engine};
use crate::assets::TEMPLATES;
use crate::error::Failure;

/// The templates with such loops, and over what they go.
const LOOPS: &[(&str, &str)] = &[(COMPOSE_TEMPLATE, "nodes"), (BACKENDS_TEMPLATE, "replicas")];

/// For each of [`LOOPS`] the template in which `{{ loop_0 }}` stands for its first loop, and what stood in that.
pub fn templates() -> impl Iterator<Item = (String, String)> {
    LOOPS.iter().flat_map(|(path, list)| {
        let text = TEMPLATES
            .iter()
            .find(|(name, _)| name == path)
            .map_or("", |(_, text)| text);
        let (frame, bodies) = unroll(text, list);
        let bodies = bodies.into_iter().enumerate();
        let bodies = bodies.map(|(i, body)| (body_name(path, i), body));
        bodies.chain([(frame_name(path), frame)]).collect::<Vec<_>>()
    })
}

fn frame_name(path: &str) -> String {
    format!("{path} without its loops")
}

fn body_name(path: &str, at: usize) -> String {
    format!("{path} loop {at}")
}

/// Takes the loops over `list` out of `text`. Whitespace that their tags swallow is swallowed all the same.
fn unroll(text: &str, list: &str) -> (String, Vec<String>) {
    let mut frame = String::new();
    let mut bodies = Vec::new();
    let mut rest = text;
    while let Some(begins) = Tag::all(rest).find(|tag| tag.words == format!("for node in {list}")) {
        let mut depth = 0;
        let ends = Tag::all(rest)
            .skip_while(|tag| tag.start < begins.start)
            .find(|tag| {
                depth += i32::from(tag.words.starts_with("for ")) - i32::from(tag.words == "endfor");
                depth == 0
            });
        let ends = ends.expect("a loop that ends");
        let mut body = &rest[begins.end..ends.start];
        if begins.trims_after {
            body = body.trim_start();
        }
        if ends.trims_before {
            body = body.trim_end();
        }
        let (before, after) = (
            if begins.trims_before { "-" } else { "" },
            if ends.trims_after { "-" } else { "" },
        );
        frame.push_str(&rest[..begins.start]);
        frame.push_str(&format!("{{{{{before} loop_{} {after}}}}}", bodies.len()));
        bodies.push(body.to_owned());
        rest = &rest[ends.end..];
    }
    frame.push_str(rest);
    (frame, bodies)
}

/// `{%- words %}`
struct Tag<'a> {
    start: usize,
    end: usize,
    words: &'a str,
    trims_before: bool,
    trims_after: bool,
}

impl<'a> Tag<'a> {
    fn all(text: &'a str) -> impl Iterator<Item = Tag<'a>> {
        text.match_indices("{%").map(|(start, _)| {
            let inside = &text[start + 2..];
            let inside = &inside[..inside.find("%}").expect("a tag that ends")];
            Tag {
                start,
                end: start + 2 + inside.len() + 2,
                words: inside.trim_matches('-').trim(),
                trims_before: inside.starts_with('-'),
                trims_after: inside.ends_with('-'),
            }
        })
    }
}

/// What the template at `path` gives for `master` and these replicas.
pub fn run(
    tera: &Tera,
    context: &Context,
    path: &str,
    master: &NodeView,
    replicas: &[Words],
) -> Result<String, Failure> {
    let with_master = LOOPS.contains(&(path, "nodes"));
    let mut context = context.clone();
    let marked = NodeView::marked();
    // For what depends on whether there are any.
    context.insert("replicas", &vec![&marked; replicas.len().min(1)]);
    let mut loops = Vec::new();
    for body in (0..).map(|at| body_name(path, at)) {
        if !tera.contains_template(&body) {
            break;
        }
        let mut first = String::new();
        if with_master {
            context.insert("node", master);
            first = engine::run(tera, &body, &context)?;
        }
        context.insert("node", &marked);
        let others = Pattern::of(&engine::run(tera, &body, &context)?);
        context.insert(
            format!("loop_{}", loops.len()),
            &format!("{MARK}{}{MARK}", loops.len()),
        );
        loops.push((first, others));
    }
    let frame = engine::run(tera, &frame_name(path), &context)?;
    // The text is long: each piece goes straight to its place.
    let mut pieces = Vec::new();
    for (at, piece) in frame.split(MARK).enumerate() {
        match piece.parse::<usize>().ok().filter(|_| at % 2 == 1) {
            None => pieces.push(piece),
            Some(number) => {
                let (first, others) = &loops[number];
                pieces.push(first);
                pieces.extend(replicas.iter().flat_map(|words| others.filled(words)));
            }
        }
    }
    Ok(pieces.concat())
}
