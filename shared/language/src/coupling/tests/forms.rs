//! Forms in which scripts build, push and use images.

use super::*;

const BUILD: &[&str] = &["docker build -t $IMAGE:$CI_COMMIT_SHA ."];
const BUILD_AND_PUSH: &[&str] = &[
    "docker build -t $IMAGE:$CI_COMMIT_SHA .",
    "docker push $IMAGE:$CI_COMMIT_SHA",
];

fn pull(docker: &str, raw: &str) -> String {
    format!(
        "{docker} image inspect {raw} > /dev/null 2>&1 || {docker} pull {raw} # Fleet: an \
         earlier job pushed this image, and this host may lack it"
    )
}

/// A line that is mended with a pull of `raw` before it.
fn mends(docker: &str, raw: &str, line: &str) {
    let expected = Became::Mended(vec![pull(docker, raw), line.to_owned()]);
    assert_eq!(became(BUILD_AND_PUSH, &[line]), expected, "{line}");
    assert_eq!(became(BUILD, &[line]), Became::Pinned, "{line}");
}

#[test]
fn a_use_is_found_in_whatever_form_it_is_written() {
    for raw in [
        "$IMAGE:$CI_COMMIT_SHA",
        "${IMAGE}:${CI_COMMIT_SHA}",
        "$IMAGE:$CI_BUILD_REF",
        "\"$IMAGE:$CI_COMMIT_SHA\"",
        "\"${IMAGE}\":$CI_COMMIT_SHA",
        "registry.example/app:$CI_COMMIT_SHA",
        "registry.example/'app':\"${CI_BUILD_REF}\"",
    ] {
        mends("docker", raw, &format!("docker run {raw}"));
        mends("docker", raw, &format!("docker tag {raw} $IMAGE:x"));
    }
}

#[test]
fn commands_that_need_an_image_in_the_engine() {
    let raw = "$IMAGE:$CI_COMMIT_SHA";
    for line in [
        "docker run --rm -it IMG make test",
        "docker run -itv $PWD:/src -e A=b --name x --network=host IMG sh -c 'docker ps'",
        "docker run -d -p 80:80 --env-file .env --rm=true IMG",
        "docker run -it --entrypoint /bin/sh --user 1:1 --privileged --init IMG",
        "docker run --pull missing IMG",
        "docker container run --rm IMG",
        "docker create --name c IMG",
        "docker container create IMG",
        "docker image tag IMG other",
        "docker save IMG > image.tar",
        "docker save IMG | gzip > image.tar.gz",
        "docker save -o image.tar IMG",
        "docker image save IMG",
        "docker image inspect IMG",
        "docker inspect --format '{{.Id}}' IMG",
        "docker history IMG",
        "docker push IMG",
        "docker image push -q IMG",
        "cd app && docker run IMG",
        "docker version; docker run IMG",
        "docker run IMG || exit 1",
        "docker \\\n  run --rm \\\n  IMG",
        "docker run IMG 2>&1 | tee log",
        "echo \"a && b\" '#' && docker run IMG # docker pull IMG",
    ] {
        let line = line.replace("IMG", raw);
        if let Became::Mended(script) = became(BUILD_AND_PUSH, &[&line]) {
            let at = script.iter().position(|it| *it == pull("docker", raw));
            assert!(at.is_some(), "{line}: {script:?}");
            let rest: Vec<&str> = script
                .iter()
                .filter(|it| !it.contains("# Fleet: "))
                .map(String::as_str)
                .collect();
            assert_eq!(rest.join(" "), line);
        } else {
            panic!("{line}");
        }
        assert_eq!(became(BUILD, &[&line]), Became::Pinned, "{line}");
    }
}

#[test]
fn what_stands_before_the_subcommand_stands_before_the_pull() {
    let raw = "$IMAGE:$CI_COMMIT_SHA";
    for docker in [
        "docker",
        "sudo docker",
        "docker -l debug",
        "docker --config ./d",
        "DOCKER_CONFIG=$PWD/.d docker",
        "/usr/bin/docker -D",
    ] {
        mends(docker, raw, &format!("{docker} run {raw}"));
    }
}

#[test]
fn forms_of_building_and_pushing() {
    for build in [
        &[
            "docker build --tag $IMAGE:$CI_COMMIT_SHA .",
            "docker push $IMAGE:$CI_COMMIT_SHA",
        ][..],
        &["docker build --tag=$IMAGE:$CI_COMMIT_SHA . && docker push $IMAGE:$CI_COMMIT_SHA"],
        &[
            "docker image build -f D -t a -t \"$IMAGE:$CI_COMMIT_SHA\" .; docker image push $IMAGE:$CI_COMMIT_SHA",
        ],
        &[
            "docker build -t$IMAGE:$CI_COMMIT_SHA . | tee log",
            "docker push -a $IMAGE",
        ],
        &[
            "docker buildx build --load -t $IMAGE:$CI_BUILD_REF .",
            "docker push --all-tags ${IMAGE}",
        ],
        &["docker buildx build --push --platform linux/amd64 -t $IMAGE:$CI_BUILD_REF ."],
        &["docker build --push -t $IMAGE:$CI_BUILD_REF ."],
        &[
            "docker build -t x .",
            "docker tag x $IMAGE:$CI_BUILD_REF",
            "docker push $IMAGE:$CI_BUILD_REF",
        ],
        &[
            "TAG=$CI_COMMIT_SHA",
            "docker build -t $IMAGE:$TAG .",
            "docker push $IMAGE:$TAG",
        ],
        &["export REF=$IMAGE:$CI_COMMIT_SHA; docker build -t $REF .; docker push $REF"],
        &[
            "docker build -t $IMAGE:$CI_COMMIT_SHA . || exit 1",
            "docker push $IMAGE:$CI_COMMIT_SHA",
        ],
        &[
            "if [ -f x ]; then echo x; fi",
            "docker build -t $IMAGE:$CI_COMMIT_SHA .",
            "docker push $IMAGE:$CI_COMMIT_SHA",
        ],
        &["docker pull $IMAGE:$CI_COMMIT_SHA"],
    ] {
        let found = became(build, &["docker tag $IMAGE:$CI_COMMIT_SHA x"]);
        assert!(matches!(found, Became::Mended(_)), "{build:?}: {found:?}");
    }
    for build in [
        &["docker build -t $IMAGE:$CI_COMMIT_SHA ."][..],
        &["docker build -t x .", "docker tag x $IMAGE:$CI_BUILD_REF"],
        &["docker commit c $IMAGE:$CI_BUILD_REF"],
        &[
            "docker build -t $IMAGE:$CI_COMMIT_SHA .",
            "docker push $IMAGE:other",
        ],
    ] {
        let found = became(build, &["docker tag $IMAGE:$CI_COMMIT_SHA x"]);
        assert_eq!(found, Became::Pinned, "{build:?}");
    }
}

#[test]
fn a_name_that_moves_is_pulled_whatever_the_engine_has() {
    let push = &["docker build -t $IMAGE .", "docker push $IMAGE:latest"];
    let mark = "# Fleet: an earlier job pushed this image, and this host may lack it";
    let expected = vec![
        format!("docker pull $IMAGE {mark}"),
        "docker run $IMAGE".to_owned(),
    ];
    assert_eq!(
        became(push, &["docker run $IMAGE"]),
        Became::Mended(expected)
    );
}

#[test]
fn what_gets_the_image_itself_is_left_alone() {
    let image = "$IMAGE:$CI_COMMIT_SHA";
    for after in [
        "docker pull IMG; docker tag IMG x",
        "docker pull -q IMG && docker run IMG",
        "docker pull IMG || true; docker run IMG",
        "docker build -t IMG . && docker push IMG",
        "docker build --cache-from IMG -t other .",
        "docker image inspect IMG > /dev/null 2>&1 || docker pull IMG; docker run IMG",
        "if ! docker image inspect IMG; then docker pull IMG; fi; docker run IMG",
        "docker load -i image.tar; docker run IMG",
        "docker-compose pull; docker run IMG",
        "docker compose up -d; docker tag IMG x",
        "docker run --pull always IMG",
        "docker run --pull=always IMG",
    ] {
        let after = after.replace("IMG", image);
        assert_eq!(became(BUILD_AND_PUSH, &[&after]), Became::Same, "{after}");
        assert_eq!(became(BUILD, &[&after]), Became::Same, "{after}");
    }
}

#[test]
fn another_engine_is_no_coupling() {
    let image = "$IMAGE:$CI_COMMIT_SHA";
    for after in [
        "docker -H tcp://other:2375 run IMG",
        "docker --host=tcp://other:2375 run IMG",
        "docker --context other run IMG",
        "DOCKER_HOST=ssh://other docker run IMG",
        "export DOCKER_HOST=tcp://other:2375; docker run IMG",
        "docker context use other; docker run IMG",
        "ssh other docker run IMG",
        "podman run IMG",
    ] {
        let after = after.replace("IMG", image);
        assert_eq!(became(BUILD_AND_PUSH, &[&after]), Became::Same, "{after}");
        assert_eq!(became(BUILD, &[&after]), Became::Same, "{after}");
    }
    let yaml = pair(BUILD_AND_PUSH, &["docker run $IMAGE:$CI_COMMIT_SHA"]);
    for own in [
        "variables: {DOCKER_HOST: 'tcp://docker:2375', IMAGE: registry.example/app}",
        "services: ['docker:27-dind']\nvariables: {IMAGE: registry.example/app}",
    ] {
        let yaml = yaml.replace("variables: {IMAGE: registry.example/app}", own);
        let compiled = compiled(&yaml, "master", HostCoupling::Deny);
        assert_eq!(said(&compiled), "");
    }
}

#[test]
fn other_images_are_left_alone() {
    for after in [
        "docker run alpine",
        "docker run $IMAGE:other",
        "docker run $IMAGE:$CI_COMMIT_SHA-slim",
        "docker run $IMAGE:$(git rev-parse HEAD)",
        "docker run $OPTIONS $IMAGE:$CI_COMMIT_SHA",
        "docker run --some-new-option $IMAGE:$CI_COMMIT_SHA",
        "docker ps; docker logs x; docker login -u a registry.example",
        "docker inspect some-container",
        "docker",
        "docker run",
        "docker tag a",
        "echo docker run $IMAGE:$CI_COMMIT_SHA",
    ] {
        assert_eq!(became(BUILD_AND_PUSH, &[after]), Became::Same, "{after}");
    }
    // Docker gets by itself what nobody made.
    assert_eq!(
        became(&["docker pull alpine"], &["docker run alpine"]),
        Became::Same
    );
    // A name that is another one in every job.
    let own = "docker build -t $IMAGE:$CI_JOB_ID .";
    assert_eq!(
        became(&[own], &["docker run $IMAGE:$CI_JOB_ID"]),
        Became::Same
    );
    let removed = &["docker build -t $IMAGE .", "docker rmi $IMAGE"];
    assert_eq!(became(removed, &["docker tag $IMAGE x"]), Became::Same);
}

#[test]
fn a_push_that_cannot_be_read_makes_nobody_say_there_is_none() {
    let image = "$IMAGE:$CI_COMMIT_SHA";
    for push in [
        "for tag in a b; do docker push $IMAGE:$tag; done",
        "docker push $IMAGE:$CI_COMMIT_SHA || true",
        "[ -n \"$PUSH\" ] && docker push $IMAGE:$CI_COMMIT_SHA",
        "retry 3 docker push $IMAGE:$CI_COMMIT_SHA",
        "sh -c \"docker push $IMAGE\"",
        "docker images -q | xargs -n1 docker push",
        "$DOCKER push $IMAGE:$CI_COMMIT_SHA",
        "docker compose push",
        "push() {\n docker push $1\n}\npush x",
        "cat <<EOF | sh\ndocker push $IMAGE:$CI_COMMIT_SHA\nEOF",
        "(docker push $IMAGE:$CI_COMMIT_SHA)",
        "docker push $(cat names)",
        "docker buildx build $ARGS -t $IMAGE:$CI_COMMIT_SHA .",
    ] {
        let build = [&format!("docker build -t {image} ."), push];
        let after = format!("docker tag {image} x");
        assert_eq!(
            became(&build.map(|it| it as &str), &[&after]),
            Became::Same,
            "{push}"
        );
    }
}

#[test]
fn a_line_within_an_entry_has_its_pull_before_it() {
    let image = "$IMAGE:$CI_COMMIT_SHA";
    let after = format!("docker login -u x registry.example\nA=b; docker tag {image} x\necho done");
    assert_eq!(
        became(BUILD_AND_PUSH, &["pwd", &after]),
        Became::Mended(vec![
            "pwd".to_owned(),
            "docker login -u x registry.example\nA=b;".to_owned(),
            pull("docker", image),
            format!("docker tag {image} x\necho done"),
        ])
    );
    // Behind a login in the same list.
    let after = format!("echo $P | docker login -u x --password-stdin && docker run {image}");
    let Became::Mended(script) = became(BUILD_AND_PUSH, &[&after]) else {
        panic!("not mended");
    };
    insta::assert_snapshot!(script.join("\n"), @r"
    echo $P | docker login -u x --password-stdin && { : 'Fleet: an earlier job pushed this image, and this host may lack it'; docker image inspect $IMAGE:$CI_COMMIT_SHA > /dev/null 2>&1 || docker pull $IMAGE:$CI_COMMIT_SHA || true; } && docker run $IMAGE:$CI_COMMIT_SHA
    ");
    // Two images of one line, and each only once.
    let build = [
        "docker build -t a:$CI_COMMIT_SHA -t b:$CI_COMMIT_SHA .",
        "docker push a:$CI_COMMIT_SHA",
        "docker push b:$CI_COMMIT_SHA",
    ];
    let after = [
        "docker tag a:$CI_COMMIT_SHA x && docker tag b:$CI_COMMIT_SHA y",
        "docker run a:$CI_COMMIT_SHA",
    ];
    assert_eq!(
        became(&build, &after),
        Became::Mended(vec![
            pull("docker", "a:$CI_COMMIT_SHA"),
            pull("docker", "b:$CI_COMMIT_SHA"),
            after[0].to_owned(),
            after[1].to_owned(),
        ])
    );
}

#[test]
fn only_a_job_that_runs_after_the_other_counts_on_it() {
    let yaml = |needs: &str, stage: &str| {
        format!(
            "stages: [one, two, three]\nbuild: {{stage: one, script: ['docker build -t app .']}}\n\
             middle: {{stage: two, script: [pwd]}}\nafter: {{stage: {stage}, {needs} script: \
             ['docker run app']}}\n"
        )
    };
    for (needs, stage, pinned) in [
        ("", "two", Some(0)),
        ("", "three", Some(0)),
        ("", "one", None),
        ("needs: [],", "two", None),
        ("needs: [build],", "three", Some(0)),
        ("needs: [middle],", "three", Some(0)),
    ] {
        let compiled = compiled(&yaml(needs, stage), "master", HostCoupling::Mend);
        assert_eq!(
            jobs(&compiled)["after"].pinned_to,
            pinned,
            "{needs} {stage}"
        );
    }
}

#[test]
fn images_of_two_jobs_bind_to_one_of_them() {
    let yaml = "stages: [one, two]\na: {stage: one, script: ['docker build -t a .']}\nb: {stage: \
                one, script: ['docker build -t b .']}\nc:\n  stage: two\n  script:\n    - docker \
                run a\n    - docker run b\n";
    let compiled = compiled(yaml, "master", HostCoupling::Mend);
    assert_eq!(jobs(&compiled)["c"].pinned_to, Some(0));
    insta::assert_snapshot!(said(&compiled), @r"
    warning[host-coupling-unpushed]: `c` counts on the image `a`, which `a` has put into the Docker engine of the host it ran on; no earlier job pushes it, so this job runs only on the agent of `a`
     --> .gitlab-ci.yml:7:7
      |
    7 |     - docker run a
      |       ^^^^^^^^^^^^
      |
      = help: to let it run anywhere, add `docker push a` to `a`, and `docker pull a` before this line

    warning[host-coupling-unpushed]: `c` counts on the image `b`, which `b` has put into the Docker engine of the host it ran on; no earlier job pushes it, and this job is bound to another agent already, for another image
     --> .gitlab-ci.yml:8:7
      |
    8 |     - docker run b
      |       ^^^^^^^^^^^^
      |
      = help: add `docker push b` to `b`, and `docker pull b` before this line
    ");
}

#[test]
fn instances_of_a_parallel_job_are_told_once() {
    let yaml = "stages: [one, two]\nbuild: {stage: one, script: ['docker build -t app .']}\nafter: \
                {stage: two, parallel: 3, script: ['docker run app']}\n";
    let compiled = compiled(yaml, "master", HostCoupling::Warn);
    assert_eq!(compiled.diagnostics.len(), 1);
    insta::assert_snapshot!(said(&compiled), @r"
    warning[host-coupling-unpushed]: `after` counts on the image `app`, which `build` has put into the Docker engine of the host it ran on: on another host this line does not find it
     --> .gitlab-ci.yml:3:43
      |
    3 | after: {stage: two, parallel: 3, script: ['docker run app']}
      |                                           ^^^^^^^^^^^^^^^^
      |
      = help: add `docker push app` to `build`, and `docker pull app` before this line
    ");
}

#[test]
fn a_value_of_a_setting_is_in_nothing_that_is_said() {
    let yaml = "stages: [one, two]\nbuild: {stage: one, script: ['docker build -t \
                $GOOGLE_PROJECT_ID/app .']}\nafter: {stage: two, script: ['docker run \
                ${GOOGLE_PROJECT_ID}/app']}\n";
    let compiled = compiled(yaml, "master", HostCoupling::Mend);
    let all = format!("{compiled:?}{}", said(&compiled));
    assert!(all.contains("host-coupling-unpushed"));
    assert!(!all.contains("adtech"), "{all}");
}
