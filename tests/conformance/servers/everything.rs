//! The features that the suite asks servers for, with rmcp: `PORT FIXTURES`.
#![allow(clippy::indexing_slicing, reason = "JSON values: an index that is not there is null")]
#![allow(deprecated, reason = "the suite tests logging, which a later revision deprecates")]

use std::{collections::HashMap, error::Error, fs::File, io::BufReader, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::*,
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

/// `everything.json`, which the TypeScript server reads as well.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fixtures {
    tools: Value,
    calls: HashMap<String, Value>,
    elicitations: HashMap<String, Value>,
    resources: Value,
    resource_templates: Value,
    contents: HashMap<String, Value>,
    prompts: Value,
    messages: HashMap<String, Vec<Value>>,
}

#[derive(Clone)]
struct Everything(Arc<Fixtures>);

type Context = RequestContext<RoleServer>;

/// The type that rmcp sends, of what the suite asks for.
fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

/// The same for a result, whose type 2026-07-28 requires.
fn result<T: DeserializeOwned>(mut value: Value) -> Result<T, ErrorData> {
    value["resultType"] = "complete".into();
    typed(value)
}

fn text(value: impl Into<String>) -> Value {
    json!({ "content": [{ "type": "text", "text": value.into() }] })
}

fn unknown(what: &str) -> ErrorData {
    ErrorData::invalid_params(format!("unknown: {what}"), None)
}

async fn notify(context: &Context, method: &str, params: Value) -> Result<(), ErrorData> {
    let notification = typed(json!({ "method": method, "params": params }))?;
    let sent = context.peer.send_notification(notification).await;
    sleep(Duration::from_millis(50)).await;
    sent.map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

async fn ask(context: &Context, method: &str, params: Value) -> Result<Value, ErrorData> {
    let request = typed(json!({ "method": method, "params": params }))?;
    let answer = context.peer.send_request(request).await;
    let answer = answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    serde_json::to_value(answer).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

impl ServerHandler for Everything {
    fn get_info(&self) -> ServerConfig {
        let capabilities = json!({
            "tools": {},
            "resources": { "subscribe": true },
            "prompts": {},
            "logging": {},
            "completions": {},
        });
        let capabilities = serde_json::from_value(capabilities).unwrap_or_default();
        ServerConfig::new(capabilities)
    }

    // Asked for arguments that a header mirrors.
    fn get_tool(&self, name: &str) -> Option<Tool> {
        let tools: Vec<Tool> = typed(self.0.tools.clone()).ok()?;
        tools.into_iter().find(|tool| tool.name == name)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        result(json!({ "tools": self.0.tools }))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let given = request.arguments.clone().unwrap_or_default();
        if let Some(call) = self.0.calls.get(&*request.name) {
            return result::<CallToolResult>(call.clone()).map(Into::into);
        }
        if let Some(question) = self.0.elicitations.get(&*request.name) {
            let answer = ask(&context, "elicitation/create", question.clone()).await?;
            let answer = format!("action={}, content={}", answer["action"], answer["content"]);
            return result::<CallToolResult>(text(answer)).map(Into::into);
        }
        let call = match &*request.name {
            "test_tool_with_logging" => {
                for data in ["started", "running", "done"] {
                    let params = json!({ "level": "info", "data": data });
                    notify(&context, "notifications/message", params).await?;
                }
                text("logged")
            }
            "test_tool_with_progress" => {
                let token = context.meta.get_progress_token();
                for progress in [0, 50, 100] {
                    let params =
                        json!({ "progressToken": token, "progress": progress, "total": 100 });
                    notify(&context, "notifications/progress", params).await?;
                }
                text("reported")
            }
            "test_sampling" => {
                let content = json!({ "type": "text", "text": given.get("prompt") });
                let message = json!({ "role": "user", "content": content });
                let params = json!({ "messages": [message], "maxTokens": 100 });
                let answer = ask(&context, "sampling/createMessage", params).await?;
                text(format!("LLM response: {}", answer["content"]["text"]))
            }
            // rmcp does not let a tool close its stream.
            "test_reconnection" => text("answered"),
            "json_schema_2020_12_tool" => text(Value::Object(given).to_string()),
            name => return Err(unknown(name)),
        };
        result::<CallToolResult>(call).map(Into::into)
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        result(json!({ "resources": self.0.resources }))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        result(json!({ "resourceTemplates": self.0.resource_templates }))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let Some(found) = self.0.contents.get(&request.uri) else {
            return Err(ErrorData::resource_not_found(
                "Resource not found",
                Some(json!({ "uri": request.uri })),
            ));
        };
        let mut contents = found.clone();
        contents["uri"] = request.uri.into();
        result::<ReadResourceResult>(json!({ "contents": [contents] })).map(Into::into)
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        result(json!({ "prompts": self.0.prompts }))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        let contents = self.0.messages.get(&request.name).ok_or_else(|| unknown(&request.name))?;
        let message = |content| json!({ "role": "user", "content": content });
        let mut messages = Value::from_iter(contents.iter().map(message)).to_string();
        for (name, value) in request.arguments.unwrap_or_default() {
            messages = messages.replace(&format!("{{{name}}}"), value.as_str().unwrap_or_default());
        }
        let messages: Value = serde_json::from_str(&messages).unwrap_or_default();
        result::<GetPromptResult>(json!({ "messages": messages })).map(Into::into)
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: Context,
    ) -> Result<CompleteResult, ErrorData> {
        result(json!({ "completion": { "values": ["one", "two"] } }))
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (port, file) = arguments.next().zip(arguments.next()).ok_or("usage: PORT FIXTURES")?;
    let fixtures = serde_json::from_reader(BufReader::new(File::open(file)?))?;
    let server = Everything(Arc::new(fixtures));
    // Its defaults: it accepts loopback names as Host only.
    let service = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            // A client that disconnects is not an error here.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
