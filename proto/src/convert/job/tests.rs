use super::*;

fn variable(key: &str) -> Variable {
    Variable {
        file: true,
        raw: true,
        ..Variable::new(key, "välue\n").masked()
    }
}

fn full() -> JobSpec {
    let image = Image {
        name: "busybox".into(),
        entrypoint: Some(Vec::new()),
        pull_policy: vec![
            PullPolicy::Always,
            PullPolicy::IfNotPresent,
            PullPolicy::Never,
        ],
        platform: Some("linux/amd64".into()),
        user: Some("1000".into()),
    };
    JobSpec {
        id: JobId(7),
        attempt: 2,
        name: "build image: [a, b]".into(),
        stage: "build".into(),
        pipeline: PipelineId(3),
        project: ProjectId(9),
        project_path: "group/project".into(),
        token: Token("t".into()),
        timeout: Duration::from_secs(3600),
        source: Source::Git {
            repository: "/srv/store.git".into(),
            sha: "a".repeat(40),
            reference: "main".into(),
            depth: 20,
            refspecs: vec!["+refs/heads/main:refs/remotes/origin/main".into()],
        },
        variables: vec![variable("A"), Variable::new("B", "")],
        steps: vec![Step {
            name: "script".into(),
            script: vec!["true".into(), String::new()],
        }],
        image: Some(image.clone()),
        services: vec![Service {
            image,
            alias: Some("db".into()),
            command: Some(vec!["run".into()]),
            variables: vec![variable("C")],
        }],
        artifacts: vec![Artifact {
            name: None,
            paths: vec!["out/**".into()],
            exclude: vec!["out/tmp".into()],
            untracked: true,
            when: ArtifactWhen::Always,
            kind: "archive".into(),
            format: ArtifactFormat::Zip,
            expire_in: Some("1 week".into()),
        }],
        caches: vec![Cache {
            key: "default".into(),
            fallback_keys: vec!["main".into()],
            paths: vec!["node_modules".into()],
            untracked: false,
            policy: "pull-push".into(),
            when: ArtifactWhen::OnFailure,
        }],
        dependencies: vec![Dependency {
            job: JobId(1),
            name: "first".into(),
            filename: "artifacts.zip".into(),
            size: 12,
        }],
        hooks: vec![Hook {
            name: "pre_get_sources_script".into(),
            script: vec!["date".into()],
        }],
        registries: vec![RegistryLogin {
            registry: "registry.example:5000/group".into(),
            username: "ann".into(),
            password: Token("pass word".into()),
        }],
    }
}

#[test]
fn job_spec_survives_the_wire() {
    let job = full();
    assert_eq!(JobSpec::try_from(v1::JobSpec::from(&job)), Ok(job));
}

#[test]
fn folder_source_survives_the_wire() {
    let job = JobSpec {
        source: Source::Folder {
            path: "/srv/tree".into(),
        },
        ..full()
    };
    assert_eq!(JobSpec::try_from(v1::JobSpec::from(&job)), Ok(job));
}

#[test]
fn job_spec_without_source_is_refused() {
    let message = v1::JobSpec {
        source: None,
        ..v1::JobSpec::from(&full())
    };
    assert_eq!(JobSpec::try_from(message), Err(Error::Missing("source")));
}

#[test]
fn unknown_pull_policy_is_refused() {
    let mut message = v1::JobSpec::from(&full());
    message.image.get_or_insert_default().pull_policy = vec!["sometimes".into()];
    assert_eq!(
        JobSpec::try_from(message),
        Err(Error::Unknown {
            field: "pull_policy",
            value: "sometimes".into()
        })
    );
}

#[test]
fn artifact_without_format_is_refused() {
    let mut message = v1::JobSpec::from(&full());
    message.artifacts[0].set_format(v1::ArtifactFormat::Unspecified);
    assert_eq!(JobSpec::try_from(message), Err(Error::Missing("format")));
}
