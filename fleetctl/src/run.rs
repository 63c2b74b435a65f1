//! `fleetctl run`: snapshot, compile, select, run, show.

mod child;
mod docker;
mod engine;
mod left;
mod list;
mod outlet;
mod select;
mod workspace;

use std::io::{self, BufWriter};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use fleet_agent::Shell;
use fleet_coordinator::{About, MOST_SLOTS, Request};
use fleet_language::{Context, HostCoupling, Reach, RefKind};
use fleet_model::{JobState, PipelineId, Plan, Timestamp};
use tokio::sync::{mpsc, oneshot};

use self::engine::{Ended, Setup};
use self::outlet::Outlet;
use self::select::Selection;
#[cfg(test)]
pub(crate) use self::select::tests::job as planned_job;
use self::workspace::Workspace;
use crate::cli::{self, Global, TextOrJson};
use crate::findings;
use crate::project::Project;
use crate::snapshot::{self, Snapshot};
use crate::terminal::Terminal;
use crate::view::{self, Form, Logs, State, View, clean};
use crate::{Exit, Failure, includes};

/// What is written to stdout at once, at most.
const OUT_BYTES: usize = 64 * 1024;
/// Events that wait for the view before the logs wait too.
const TOLD: usize = 16;

/// Runs the pipeline of the working tree.
pub(crate) fn run(arguments: cli::Run, global: Global) -> Result<Exit, Failure> {
    let project = Project::find(&arguments.place)?;
    let text = project.config_text()?;
    let Some(wish) = wish(&arguments, &project)? else {
        eprintln!("nothing failed last time; `fleetctl run` runs everything");
        return Ok(Exit::Done);
    };
    let asked = project.ask_git();
    let snapshot = snapshot::take(&project.root, &snapshot::store_dir(&project.root))
        .context("take a snapshot of the working tree")?;
    left::remove(&project);
    let workspace = Workspace::create(&project)?;
    let mut context = project.context(&arguments.event, &snapshot, workspace.number, asked)?;
    // One machine, one engine: what an earlier job built is there.
    context.project.host_coupling = HostCoupling::OneHost;
    let fetch = includes::configured(&project, &arguments.place.includes)?;
    let reach = Reach {
        files: &project.files(),
        fetch: &fetch,
    };
    let compiled = fleet_language::compile((&project.config_name(), &text), &context, reach);
    findings::print(&compiled, global);
    let Some(plan) = compiled.plan.as_ref().filter(|_| !compiled.has_errors()) else {
        return Ok(Exit::Usage);
    };
    let mut selection = select::select(plan, &wish).map_err(Failure::usage)?;
    if arguments.list {
        return list::print(&selection, &compiled, arguments.output);
    }
    let docker = docker::choose(&mut selection.plan, &arguments)?;
    if !global.quiet {
        introduce(&snapshot, &selection, docker.is_some());
    }
    if selection.plan.jobs.is_empty() {
        eprintln!("nothing to run");
        return Ok(Exit::Done);
    }
    let slots = arguments
        .slots
        .map_or_else(cpus, NonZeroU32::get)
        .min(MOST_SLOTS);
    let (say, notes) = mpsc::unbounded_channel();
    let children = child::Children {
        project: project.clone(),
        context: context.clone(),
        source: snapshot.source_for(&context.reference),
        arguments: arguments.clone(),
        engine: docker.is_some(),
        say,
    };
    let setup = Setup {
        docker,
        plan_child: children.planner(),
        notes,
        ..setup(selection.plan, &context, &snapshot, &workspace, slots)
    };
    let ended = show(setup, view_wish(arguments.output, global), global)?;
    let exit = exit(&ended);
    if let Some(failed) = ended.failed.filter(|_| !ended.interrupted) {
        workspace::record(&project, failed)?;
    }
    Ok(exit)
}

/// What is asked for; none where it is what failed and nothing did.
fn wish(arguments: &cli::Run, project: &Project) -> Result<Option<select::Wish>, Failure> {
    let names = if arguments.failed {
        match workspace::last_failed(project) {
            Some(failed) if failed.is_empty() => return Ok(None),
            Some(failed) => failed,
            None => {
                return Err(Failure::usage("no run is known yet. Try: fleetctl run"));
            }
        }
    } else {
        arguments.jobs.clone()
    };
    Ok(Some(select::Wish {
        names,
        stage: arguments.stage.clone(),
        alone: arguments.no_needs,
        deploy: arguments.deploy,
    }))
}

/// Says what is about to run, and what is not.
fn introduce(snapshot: &Snapshot, selection: &Selection, containers: bool) {
    let plan = &selection.plan;
    let name = plan
        .name
        .as_ref()
        .map(|name| format!("{}: ", clean(name)))
        .unwrap_or_default();
    eprintln!("{name}{}", snapshot.description);
    for note in snapshot.notes.iter().chain(&selection.notes) {
        eprintln!("note: {}", clean(note));
    }
    for (name, why) in &selection.left_out {
        eprintln!("left out: {}: {}", clean(name), clean(why));
    }
    if !selection.left_out.is_empty() {
        eprintln!("  name a job to run it, or take all with --deploy");
    }
    let count = |wanted: fn(&fleet_model::PlannedJob) -> bool| {
        plan.jobs.iter().filter(|job| wanted(job)).count()
    };
    let (images, services) = match containers {
        // A job without an image runs in the shell all the same.
        true => (
            0,
            count(|job| job.image.is_none() && !job.services.is_empty()),
        ),
        false => (
            count(|job| job.image.is_some()),
            count(|job| !job.services.is_empty()),
        ),
    };
    for (count, what, so) in [
        (images, "an image", "run in this machine's shell instead"),
        (services, "services", "run without them"),
    ] {
        if count > 0 {
            eprintln!(
                "note: {count} of {} jobs ask for {what} and {so}",
                plan.jobs.len()
            );
        }
    }
}

fn setup(
    plan: Plan,
    context: &Context,
    snapshot: &Snapshot,
    workspace: &Workspace,
    slots: u32,
) -> Setup {
    Setup {
        request: Request {
            project: context.project.id,
            project_path: context.project.path.clone(),
            protected: context.reference.protected,
            plan,
            source: snapshot.source_for(&context.reference),
            settings: context.settings(),
            about: About {
                source: context.source.as_str().to_owned(),
                reference: context.reference.name.clone(),
                tag: context.reference.kind == RefKind::Tag,
                sha: context.commit.sha.clone(),
                user: context.user.login.clone(),
                iid: context.iid,
                ..About::default()
            },
            upstream: None,
        },
        pipeline: PipelineId(workspace.number),
        slots,
        builds_dir: workspace.builds_dir.clone(),
        run_dir: workspace.run_dir.clone(),
        shell: shell(),
        docker: None,
        plan_child: Arc::new(|_| Ok(None)),
        notes: mpsc::unbounded_channel().1,
        tick: None,
    }
}

/// Runs what is set up and shows it on a thread of its own.
fn show(mut setup: Setup, wish: view::Wish, global: Global) -> Result<Ended, Failure> {
    crate::start_tracing();
    let terminal = Terminal::stdout(global.no_color);
    // stdout by itself writes line by line; the view flushes when it has said something.
    let out = BufWriter::with_capacity(OUT_BYTES, io::stdout());
    let now = Timestamp(0);
    let state = State::new(&setup.request.plan, now);
    let mut view = View::new(state, now, wish, terminal, out);
    setup.tick = view.tick();
    let (teller, mut told) = mpsc::channel(TOLD);
    let (end, ended) = oneshot::channel();
    thread::spawn(move || {
        while let Some(told) = told.blocking_recv() {
            view.told(told);
        }
        // Nobody listens any more where the view was given up.
        let _ = end.send(view.end());
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    Ok(runtime.block_on(engine::run(setup, Outlet::new(teller, ended)))?)
}

fn view_wish(output: TextOrJson, global: Global) -> view::Wish {
    let form = match output {
        TextOrJson::Text => Form::Text,
        TextOrJson::Json => Form::Json,
    };
    let logs = match (form, global.quiet, global.verbose) {
        (_, true, _) => Logs::Off,
        (Form::Json, ..) | (_, _, true) => Logs::All,
        (Form::Text, ..) => Logs::Scripts,
    };
    view::Wish { form, logs }
}

/// bash where there is one, as gitlab-runner does. Not as a login shell: the
/// person's own environment is there already.
fn shell() -> Shell {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let bash = std::env::split_paths(&path)
        .map(|dir| dir.join("bash"))
        .find(|bash| bash.is_file());
    Shell {
        program: bash.unwrap_or_else(|| PathBuf::from("/bin/sh")),
        login: false,
    }
}

fn cpus() -> u32 {
    thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1))
}

fn exit(ended: &Ended) -> Exit {
    match ended.status {
        _ if ended.interrupted => Exit::Interrupted,
        JobState::Success | JobState::Skipped => Exit::Done,
        JobState::Canceled => Exit::Canceled,
        _ => Exit::Failed,
    }
}
