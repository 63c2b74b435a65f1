//! The pipeline this is all about: one job builds and pushes, others run and tag.

use super::*;

const SEED: &str = include_str!("seed.gitlab-ci.yml");

#[test]
fn jobs_after_the_build_pull_what_it_pushed_behind_their_own_logins() {
    for (branch, deploy) in [
        ("master", "deploy to staging"),
        ("production", "deploy to production"),
    ] {
        let compiled = compiled(SEED, branch, HostCoupling::Mend);
        let jobs = jobs(&compiled);
        assert_eq!(jobs["build image"].script.len(), 6);
        for name in ["test image", deploy] {
            let script = &jobs[name].script;
            assert!(script[1].starts_with("docker login -u gitlab-ci-token"));
            assert_eq!(
                script[2],
                "docker image inspect $REGISTRY_IMAGE:$CI_BUILD_REF > /dev/null 2>&1 || docker \
                 pull $REGISTRY_IMAGE:$CI_BUILD_REF # Fleet: an earlier job pushed this image, \
                 and this host may lack it"
            );
            assert!(script[3].contains("$REGISTRY_IMAGE:$CI_BUILD_REF"));
            assert_eq!(script.len(), if name == deploy { 7 } else { 4 });
            assert_eq!(jobs[name].pinned_to, None);
        }
    }
}

#[test]
fn it_is_said_with_line_and_mend() {
    insta::assert_snapshot!(said(&compiled(SEED, "master", HostCoupling::Mend)), @r#"
    note[host-coupling]: `test image` counts on the image `$REGISTRY_IMAGE:$CI_BUILD_REF`, which `build image` has put into the Docker engine of the host it ran on: Fleet pulls it before this line, as `build image` has pushed it
      --> .gitlab-ci.yml:28:11
       |
    28 |         - docker run $REGISTRY_IMAGE:$CI_BUILD_REF /bin/bash -c "coverage run--source='.' manage.py test --noinput --settings=gott
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: to say so in the file, add `docker pull $REGISTRY_IMAGE:$CI_BUILD_REF` before this line

    note[host-coupling]: `deploy to staging` counts on the image `$REGISTRY_IMAGE:$CI_BUILD_REF`, which `build image` has put into the Docker engine of the host it ran on: Fleet pulls it before this line, as `build image` has pushed it
      --> .gitlab-ci.yml:33:11
       |
    33 |         - docker tag $REGISTRY_IMAGE:$CI_BUILD_REF ${REGISTRY_IMAGE}-${CI_ENVIRONMENT_SLUG}:$CI_BUILD_REF
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: to say so in the file, add `docker pull $REGISTRY_IMAGE:$CI_BUILD_REF` before this line
    "#);
}

#[test]
fn a_project_may_only_be_warned() {
    let compiled = compiled(SEED, "master", HostCoupling::Warn);
    assert_eq!(jobs(&compiled)["test image"].script.len(), 3);
    insta::assert_snapshot!(said(&compiled), @r#"
    warning[host-coupling]: `test image` counts on the image `$REGISTRY_IMAGE:$CI_BUILD_REF`, which `build image` has put into the Docker engine of the host it ran on: on another host this line does not find it
      --> .gitlab-ci.yml:28:11
       |
    28 |         - docker run $REGISTRY_IMAGE:$CI_BUILD_REF /bin/bash -c "coverage run--source='.' manage.py test --noinput --settings=gott
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: add `docker pull $REGISTRY_IMAGE:$CI_BUILD_REF` before this line

    warning[host-coupling]: `deploy to staging` counts on the image `$REGISTRY_IMAGE:$CI_BUILD_REF`, which `build image` has put into the Docker engine of the host it ran on: on another host this line does not find it
      --> .gitlab-ci.yml:33:11
       |
    33 |         - docker tag $REGISTRY_IMAGE:$CI_BUILD_REF ${REGISTRY_IMAGE}-${CI_ENVIRONMENT_SLUG}:$CI_BUILD_REF
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: add `docker pull $REGISTRY_IMAGE:$CI_BUILD_REF` before this line
    "#);
}

#[test]
fn a_project_may_deny_it() {
    let compiled = compiled(SEED, "master", HostCoupling::Deny);
    assert!(compiled.plan.is_none());
    insta::assert_snapshot!(said(&compiled), @r#"
    error[host-coupling]: `test image` counts on the image `$REGISTRY_IMAGE:$CI_BUILD_REF`, which `build image` has put into the Docker engine of the host it ran on, and this project denies that: add `docker pull $REGISTRY_IMAGE:$CI_BUILD_REF` before this line
      --> .gitlab-ci.yml:28:11
       |
    28 |         - docker run $REGISTRY_IMAGE:$CI_BUILD_REF /bin/bash -c "coverage run--source='.' manage.py test --noinput --settings=gott
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: fleetctl project set host-coupling=mend lets Fleet do it

    error[host-coupling]: `deploy to staging` counts on the image `$REGISTRY_IMAGE:$CI_BUILD_REF`, which `build image` has put into the Docker engine of the host it ran on, and this project denies that: add `docker pull $REGISTRY_IMAGE:$CI_BUILD_REF` before this line
      --> .gitlab-ci.yml:33:11
       |
    33 |         - docker tag $REGISTRY_IMAGE:$CI_BUILD_REF ${REGISTRY_IMAGE}-${CI_ENVIRONMENT_SLUG}:$CI_BUILD_REF
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: fleetctl project set host-coupling=mend lets Fleet do it
    "#);
}

#[test]
fn on_one_host_nothing_is_done_or_said() {
    let compiled = compiled(SEED, "master", HostCoupling::OneHost);
    assert_eq!(jobs(&compiled)["test image"].script.len(), 3);
    assert_eq!(said(&compiled), "");
}

#[test]
fn lint_says_it_for_all_jobs() {
    insta::assert_snapshot!(linted(SEED), @r#"
    note[host-coupling]: `test image` counts on the image `$REGISTRY_IMAGE:$CI_BUILD_REF`, which `build image` has put into the Docker engine of the host it ran on: Fleet pulls it before this line, as `build image` has pushed it
      --> .gitlab-ci.yml:28:11
       |
    28 |         - docker run $REGISTRY_IMAGE:$CI_BUILD_REF /bin/bash -c "coverage run--source='.' manage.py test --noinput --settings=gott
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: to say so in the file, add `docker pull $REGISTRY_IMAGE:$CI_BUILD_REF` before this line

    note[host-coupling]: `deploy to staging` counts on the image `$REGISTRY_IMAGE:$CI_BUILD_REF`, which `build image` has put into the Docker engine of the host it ran on: Fleet pulls it before this line, as `build image` has pushed it
      --> .gitlab-ci.yml:33:11
       |
    33 |         - docker tag $REGISTRY_IMAGE:$CI_BUILD_REF ${REGISTRY_IMAGE}-${CI_ENVIRONMENT_SLUG}:$CI_BUILD_REF
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: to say so in the file, add `docker pull $REGISTRY_IMAGE:$CI_BUILD_REF` before this line

    note[host-coupling]: `deploy to production` counts on the image `$REGISTRY_IMAGE:$CI_BUILD_REF`, which `build image` has put into the Docker engine of the host it ran on: Fleet pulls it before this line, as `build image` has pushed it
      --> .gitlab-ci.yml:45:11
       |
    45 |         - docker tag $REGISTRY_IMAGE:$CI_BUILD_REF ${REGISTRY_IMAGE}-${CI_ENVIRONMENT_SLUG}:$CI_BUILD_REF
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: to say so in the file, add `docker pull $REGISTRY_IMAGE:$CI_BUILD_REF` before this line
    "#);
}
