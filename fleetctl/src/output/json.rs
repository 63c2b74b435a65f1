//! Answers for programs: the fields of `fleet.v1` by their own names, times as RFC 3339
//! or null, roles and states as words. What is here stays as it is; fields are added.

use fleet_proto::v1;
use serde_json::{Map, Value, json};

use super::role_in_words;
use super::time::rfc3339;

/// A message as programs get it.
pub(crate) trait Json {
    /// All of it.
    fn json(&self) -> Value;
}

/// A list of messages.
pub(crate) fn list<T: Json>(items: &[T]) -> Value {
    items.iter().map(Json::json).collect()
}

/// A map whose order is the same every time.
fn map(entries: &std::collections::HashMap<String, String>) -> Value {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort();
    let entries = entries
        .into_iter()
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    Value::Object(entries.collect::<Map<_, _>>())
}

/// A role's word; null: nobody's.
fn role(role: i32) -> Value {
    match v1::Role::try_from(role) {
        Ok(v1::Role::Unspecified) => Value::Null,
        _ => role_in_words(role).into(),
    }
}

impl Json for v1::Group {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "path": self.path,
            "created_at": rfc3339(self.created_at),
        })
    }
}

impl Json for v1::Project {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "path": self.path,
            "default_branch": self.default_branch,
            "mirror": self.mirror,
            "protected_refs": list(&self.protected_refs),
            "settings": map(&self.settings),
            "git_url": self.git_url,
            "created_at": rfc3339(self.created_at),
            "protected_environments": list(&self.protected_environments),
        })
    }
}

impl Json for v1::ProtectedEnvironment {
    fn json(&self) -> Value {
        json!({
            "pattern": self.pattern,
            "deploy": role(self.deploy),
        })
    }
}

impl Json for v1::Environment {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "project": self.project,
            "name": self.name,
            "slug": self.slug,
            "tier": self.tier,
            "state": self.state,
            "url": self.url,
            "on_stop": self.on_stop,
            "auto_stop_in": self.auto_stop_in,
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
            "current": self.current.as_ref().map(Json::json),
            "deployments": list(&self.deployments),
            "protected": self.protected,
            "deploy": role(self.deploy),
        })
    }
}

impl Json for v1::Deployment {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "status": self.status,
            "sha": self.sha,
            "reference": self.reference,
            "pipeline": self.pipeline,
            "job": self.job,
            "job_name": self.job_name,
            "user": self.user,
            "created_at": rfc3339(self.created_at),
            "finished_at": rfc3339(self.finished_at),
        })
    }
}

impl Json for v1::StopEnvironmentResponse {
    fn json(&self) -> Value {
        json!({
            "environment": self.environment.as_ref().map(Json::json),
            "job": self.job.as_ref().map(Json::json),
        })
    }
}

impl Json for v1::ProtectedRef {
    fn json(&self) -> Value {
        json!({
            "pattern": self.pattern,
            "push": role(self.push),
            "deploy": role(self.deploy),
        })
    }
}

impl Json for v1::ProjectVariable {
    fn json(&self) -> Value {
        json!({
            "key": self.key,
            "value": if self.hidden { Value::Null } else { self.value.as_str().into() },
            "masked": self.masked,
            "protected": self.protected,
            "raw": self.raw,
            "file": self.file,
            "hidden": self.hidden,
            "environment": self.environment,
            "updated_at": rfc3339(self.updated_at),
        })
    }
}

impl Json for v1::Pipeline {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "project": self.project,
            "status": self.status,
            "warnings": self.warnings,
            "source": self.source,
            "reference": self.reference,
            "sha": self.sha,
            "user": self.user,
            "name": self.name,
            "created_at": rfc3339(self.created_at),
            "finished_at": rfc3339(self.finished_at),
            "stages": self.stages,
            "jobs": list(&self.jobs),
            "config_error": self.config_error,
            "iid": self.iid,
            "commit_title": self.commit_title,
            "upstream": self.upstream.as_ref().map(Json::json),
            "included": list(&self.included),
        })
    }
}

impl Json for v1::IncludedFile {
    fn json(&self) -> Value {
        json!({
            "kind": self.kind,
            "location": self.location,
            "project": self.project,
            "commit": self.commit,
            "version": self.version,
            "sha256": self.sha256,
        })
    }
}

impl Json for v1::Job {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "pipeline": self.pipeline,
            "project": self.project,
            "name": self.name,
            "stage": self.stage,
            "status": self.status,
            "allowed_failure": self.allowed_failure,
            "failure_reason": self.failure_reason,
            "exit_code": self.exit_code,
            "message": self.message,
            "attempts": list(&self.attempts),
            "artifacts": list(&self.artifacts),
            "created_at": rfc3339(self.created_at),
            "tags": self.tags,
            "needs": self.needs,
            "environment": self.environment,
            "reference": self.reference,
            "downstream": list(&self.downstream),
        })
    }
}

impl Json for v1::PipelineLink {
    fn json(&self) -> Value {
        json!({
            "pipeline": self.pipeline,
            "project": self.project,
            "job": self.job,
            "attempt": self.attempt,
        })
    }
}

impl Json for v1::Attempt {
    fn json(&self) -> Value {
        json!({
            "number": self.number,
            "agent": self.agent,
            "host": self.host,
            "leased_at": rfc3339(self.leased_at),
            "started_at": rfc3339(self.started_at),
            "finished_at": rfc3339(self.finished_at),
            "status": self.status,
            "failure_reason": self.failure_reason,
            "exit_code": self.exit_code,
            "message": self.message,
            "fence": self.fence,
            "log_bytes": self.log_bytes,
        })
    }
}

impl Json for v1::ArtifactFile {
    fn json(&self) -> Value {
        json!({
            "type": self.r#type,
            "filename": self.filename,
            "size": self.size,
            "expires_at": rfc3339(self.expires_at),
        })
    }
}

impl Json for v1::Explanation {
    fn json(&self) -> Value {
        json!({
            "job": self.job,
            "status": self.status,
            "waited_ms": self.waited_ms,
            "why": self.why,
            "details": self.details,
            "remedies": self.remedies,
            "until": rfc3339(self.until),
        })
    }
}

impl Json for v1::QueuedJob {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "pipeline": self.pipeline,
            "project": self.project,
            "name": self.name,
            "status": self.status,
            "since": rfc3339(self.since),
            "place": self.place,
            "why": self.why,
        })
    }
}

impl Json for v1::Agent {
    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "status": self.status,
            "draining": self.draining,
            "slots": self.slots,
            "busy": self.busy,
            "tags": self.tags,
            "run_untagged": self.run_untagged,
            "protected_only": self.protected_only,
            "host": self.host,
            "version": self.version,
            "platform": self.platform,
            "last_heard": rfc3339(self.last_heard),
            "joined_at": rfc3339(self.joined_at),
            "certificate_expires_at": rfc3339(self.certificate_expires_at),
            "jobs": self.jobs,
            "executors": self.executors,
            "projects": self.projects,
        })
    }
}

impl Json for v1::CreateJoinTokenResponse {
    fn json(&self) -> Value {
        json!({
            "token": self.token,
            "ca_pin": self.ca_pin,
            "server": self.server,
            "expires_at": rfc3339(self.expires_at),
        })
    }
}

impl Json for v1::RevokeAgentResponse {
    fn json(&self) -> Value {
        json!({
            "agent": self.agent.as_ref().map(Json::json),
            "exposed_variables": self.exposed_variables,
        })
    }
}

impl Json for v1::Status {
    fn json(&self) -> Value {
        json!({
            "version": self.version,
            "started_at": rfc3339(self.started_at),
            "agents_online": self.agents_online,
            "agents_total": self.agents_total,
            "slots_total": self.slots_total,
            "slots_busy": self.slots_busy,
            "jobs_running": self.jobs_running,
            "jobs_waiting": self.jobs_waiting,
            "problems": self.problems,
            "weakenings": self.weakenings,
            "store_bytes": self.store_bytes,
        })
    }
}

impl Json for v1::AuditEntry {
    fn json(&self) -> Value {
        json!({
            "sequence": self.sequence,
            "at": rfc3339(self.at),
            "actor": self.actor,
            "action": self.action,
            "object": self.object,
            "result": self.result,
            "reason": self.reason,
            "address": self.address,
        })
    }
}

impl Json for v1::Token {
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "user": self.user,
            "role": role(self.role),
            "scope": self.scope,
            "name": self.name,
            "created_at": rfc3339(self.created_at),
            "expires_at": rfc3339(self.expires_at),
            "last_used_at": rfc3339(self.last_used_at),
            "revoked": self.revoked,
            "images": match self.images() {
                v1::Images::Unspecified => Value::Null,
                v1::Images::Pull => "pull".into(),
                v1::Images::Push => "push".into(),
            },
        })
    }
}

impl Json for v1::Registry {
    fn json(&self) -> Value {
        json!({
            "registry": self.registry,
            "username": self.username,
            "protected": self.protected,
            "updated_at": rfc3339(self.updated_at),
        })
    }
}

impl Json for v1::Trust {
    fn json(&self) -> Value {
        json!({
            "registry": self.registry,
            "realm": self.realm,
            "service": self.service,
            "issuer": self.issuer,
            "certificate": self.certificate,
            "authority": self.authority,
        })
    }
}

impl Json for v1::CreateTokenResponse {
    fn json(&self) -> Value {
        json!({
            "token": self.token.as_ref().map(Json::json),
            "secret": self.secret,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of a message as the wire's own text names them.
    fn fields(message: &str) -> Vec<String> {
        let text = include_str!("../../../proto/fleet/v1/control.proto");
        let start = format!("message {message} {{");
        let body = text.split_once(&start).expect(message).1;
        let body = body.split_once('}').expect(message).0;
        body.lines()
            .filter_map(|line| {
                let line = line.trim();
                let (left, _) = line.strip_suffix(';')?.split_once(" = ")?;
                Some(left.split_whitespace().next_back()?.to_owned())
            })
            .collect()
    }

    #[track_caller]
    fn check(message: &str, value: &Value) {
        let names: Vec<&str> = value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(names, fields(message), "{message}");
    }

    #[test]
    fn programs_get_all_fields_by_the_names_of_the_wire() {
        check("Group", &v1::Group::default().json());
        check("Project", &v1::Project::default().json());
        check("ProtectedRef", &v1::ProtectedRef::default().json());
        check(
            "ProtectedEnvironment",
            &v1::ProtectedEnvironment::default().json(),
        );
        check("Environment", &v1::Environment::default().json());
        check("Deployment", &v1::Deployment::default().json());
        check(
            "StopEnvironmentResponse",
            &v1::StopEnvironmentResponse::default().json(),
        );
        check("ProjectVariable", &v1::ProjectVariable::default().json());
        check("Pipeline", &v1::Pipeline::default().json());
        check("Job", &v1::Job::default().json());
        check("Attempt", &v1::Attempt::default().json());
        check("ArtifactFile", &v1::ArtifactFile::default().json());
        check("Explanation", &v1::Explanation::default().json());
        check("QueuedJob", &v1::QueuedJob::default().json());
        check("Agent", &v1::Agent::default().json());
        check("Status", &v1::Status::default().json());
        check("AuditEntry", &v1::AuditEntry::default().json());
        check("Token", &v1::Token::default().json());
        check(
            "CreateJoinTokenResponse",
            &v1::CreateJoinTokenResponse::default().json(),
        );
        check(
            "RevokeAgentResponse",
            &v1::RevokeAgentResponse::default().json(),
        );
        check(
            "CreateTokenResponse",
            &v1::CreateTokenResponse::default().json(),
        );
    }

    #[test]
    fn roles_are_words_and_nobody_is_null() {
        let protected = v1::ProtectedRef {
            pattern: "main".into(),
            push: v1::Role::Maintainer.into(),
            deploy: v1::Role::Unspecified.into(),
        };
        assert_eq!(
            protected.json().to_string(),
            r#"{"pattern":"main","push":"maintainer","deploy":null}"#
        );
    }
}
