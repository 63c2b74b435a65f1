//! `fleetctl graph`: the jobs an event starts, and what each waits for.

use std::fmt::Write as _;

use fleet_model::{Plan, PlannedJob, Scheduling, When};

use crate::cli::{self, Global, GraphOutput};
use crate::compile::Given;
use crate::view::{clean, duration};
use crate::{Exit, Failure, findings};

/// Prints the graph of the pipeline that an event makes.
pub(crate) fn run(arguments: &cli::Graph, global: Global) -> Result<Exit, Failure> {
    let compiled = Given::of(&arguments.place, &arguments.event)?.compile();
    findings::print(&compiled, global);
    let Some(plan) = &compiled.plan else {
        return Ok(Exit::Usage);
    };
    let text = match arguments.output {
        GraphOutput::Text => outline(plan),
        GraphOutput::Dot => dot(plan),
        GraphOutput::Mermaid => mermaid(plan),
    };
    crate::print(text.as_bytes())
}

/// Stages and their jobs, each with what it waits for beyond earlier stages.
pub(crate) fn outline(plan: &Plan) -> String {
    let mut text = String::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", clean(stage));
        for job in plan.jobs.iter().filter(|job| job.stage == index) {
            let remarks = remarks(plan, job);
            let gap = if remarks.is_empty() { "" } else { "  " };
            let remarks = clean(&remarks.join(", "));
            let _ = writeln!(text, "  {}{gap}{remarks}", clean(&job.name));
        }
    }
    text
}

/// What there is to say of a job besides its stage.
pub(crate) fn remarks(plan: &Plan, job: &PlannedJob) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Scheduling::Dag(needs) = &job.scheduling {
        let names = names(plan, needs).join(", ");
        remarks.push(if names.is_empty() {
            "at once".to_owned()
        } else {
            format!("needs {names}")
        });
    }
    match job.when {
        When::OnFailure => remarks.push("on failure".to_owned()),
        When::Always => remarks.push("always".to_owned()),
        When::Delayed(delay) => remarks.push(format!("after {}", duration(delay))),
        When::Manual => remarks.push("manual".to_owned()),
        When::OnSuccess => {}
    }
    if let Some(environment) = &job.environment {
        remarks.push(format!("deploys to {}", environment.name));
    }
    remarks
}

/// The names of jobs.
pub(crate) fn names<'a>(plan: &'a Plan, indexes: &[usize]) -> Vec<&'a str> {
    indexes
        .iter()
        .filter_map(|index| Some(plan.jobs.get(*index)?.name.as_str()))
        .collect()
}

/// A graph for drawing: jobs by index, and gates between stages, so that a job
/// that waits for all of a stage needs one line and not one for each.
struct Drawing {
    edges: Vec<(Point, Point)>,
    /// Stages that somebody waits for as a whole.
    gates: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Job(usize),
    /// All of this stage and those before it have ended.
    Gate(usize),
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Point::Job(index) => write!(f, "j{index}"),
            Point::Gate(index) => write!(f, "s{index}"),
        }
    }
}

fn drawing(plan: &Plan) -> Drawing {
    let waits_for_stages = |job: &PlannedJob| job.scheduling == Scheduling::Stage && job.stage > 0;
    let last_gate = plan
        .jobs
        .iter()
        .filter(|job| waits_for_stages(job))
        .map(|job| job.stage)
        .max();
    let gates: Vec<usize> = (0..last_gate.unwrap_or(0)).collect();
    let mut edges = Vec::new();
    for (index, job) in plan.jobs.iter().enumerate() {
        match &job.scheduling {
            Scheduling::Stage if job.stage > 0 => {
                edges.push((Point::Gate(job.stage - 1), Point::Job(index)));
            }
            Scheduling::Stage => {}
            Scheduling::Dag(needs) => {
                edges.extend(
                    needs
                        .iter()
                        .map(|need| (Point::Job(*need), Point::Job(index))),
                );
            }
        }
        if gates.contains(&job.stage) {
            edges.push((Point::Job(index), Point::Gate(job.stage)));
        }
    }
    edges.extend(
        gates
            .windows(2)
            .map(|pair| (Point::Gate(pair[0]), Point::Gate(pair[1]))),
    );
    Drawing { edges, gates }
}

fn dot(plan: &Plan) -> String {
    let quote = |text: &str| {
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', " ")
    };
    let drawing = drawing(plan);
    let mut text = String::from("digraph pipeline {\n  rankdir=LR;\n  node [shape=box];\n");
    for (stage, name) in plan.stages.iter().enumerate() {
        let _ = writeln!(
            text,
            "  subgraph cluster_{stage} {{\n    label=\"{}\";",
            quote(name)
        );
        for (index, job) in plan
            .jobs
            .iter()
            .enumerate()
            .filter(|(_, job)| job.stage == stage)
        {
            let _ = writeln!(text, "    j{index} [label=\"{}\"];", quote(&job.name));
        }
        text.push_str("  }\n");
    }
    for gate in &drawing.gates {
        let _ = writeln!(text, "  s{gate} [shape=point];");
    }
    for (from, to) in &drawing.edges {
        let _ = writeln!(text, "  {from} -> {to};");
    }
    text.push_str("}\n");
    text
}

fn mermaid(plan: &Plan) -> String {
    let quote = |text: &str| {
        text.replace('#', "#35;")
            .replace('"', "#quot;")
            .replace('\n', " ")
    };
    let drawing = drawing(plan);
    let mut text = String::from("flowchart LR\n");
    for (stage, name) in plan.stages.iter().enumerate() {
        let _ = writeln!(text, "  subgraph stage{stage} [\"{}\"]", quote(name));
        for (index, job) in plan
            .jobs
            .iter()
            .enumerate()
            .filter(|(_, job)| job.stage == stage)
        {
            let _ = writeln!(text, "    j{index}[\"{}\"]", quote(&job.name));
        }
        text.push_str("  end\n");
    }
    for gate in &drawing.gates {
        let _ = writeln!(text, "  s{gate}(( ))");
    }
    for (from, to) in &drawing.edges {
        let _ = writeln!(text, "  {from} --> {to}");
    }
    text
}
