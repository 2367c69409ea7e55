// Written by `python -m app.contract`; do not edit by hand.

/** The `data` of every event type. Fields beyond those named here pass through unchanged. */
export interface EventData {
  /** An agent began to work; every later event of this run carries the same `session_id`. */
  "agent.session_started": {
    session_id: string;
    agent_name?: string;
    agent_id?: string;
    agent_type?: string;
    parent_id?: string | null;
    span_id?: string;
    parent_span_id?: string;
    turn_id?: string;
    folder?: string;
    model?: string;
    details?: Record<string, unknown>;
    truncated?: Record<string, number>;
    task?: string;
    reason?: string;
    [field: string]: unknown;
  };

  /** An agent began to work on a prompt, or a sub-agent on its task; `reason` where nobody asked. */
  "agent.turn_started": {
    session_id: string;
    agent_name?: string;
    agent_id?: string;
    agent_type?: string;
    parent_id?: string | null;
    span_id?: string;
    parent_span_id?: string;
    turn_id?: string;
    folder?: string;
    model?: string;
    details?: Record<string, unknown>;
    truncated?: Record<string, number>;
    prompt?: string;
    reason?: string;
    background_id?: string;
    [field: string]: unknown;
  };

  /** An agent ended its turn; `background` lists what it leaves running. */
  "agent.turn_finished": {
    session_id: string;
    agent_name?: string;
    agent_id?: string;
    agent_type?: string;
    parent_id?: string | null;
    span_id?: string;
    parent_span_id?: string;
    turn_id?: string;
    folder?: string;
    model?: string;
    details?: Record<string, unknown>;
    truncated?: Record<string, number>;
    outcome?: string;
    summary?: string;
    reason?: string;
    background?: Array<Record<string, unknown>>;
    duration_ms?: number;
    [field: string]: unknown;
  };

  /** An agent called a tool; `summary` is what a person reads, such as the command or the path. */
  "agent.tool_called": {
    session_id?: string;
    agent_name?: string;
    agent_id?: string;
    agent_type?: string;
    parent_id?: string | null;
    span_id?: string;
    parent_span_id?: string;
    turn_id?: string;
    folder?: string;
    model?: string;
    details?: Record<string, unknown>;
    truncated?: Record<string, number>;
    tool_name: string;
    tool_use_id?: string;
    call_id?: string;
    summary?: string;
    tool_input?: Record<string, unknown>;
    spawns_agent?: boolean;
    [field: string]: unknown;
  };

  /** A tool call ended: `outcome` is ok, failed, interrupted or denied; `child_id` the sub-agent it began. */
  "agent.tool_finished": {
    session_id?: string;
    agent_name?: string;
    agent_id?: string;
    agent_type?: string;
    parent_id?: string | null;
    span_id?: string;
    parent_span_id?: string;
    turn_id?: string;
    folder?: string;
    model?: string;
    details?: Record<string, unknown>;
    truncated?: Record<string, number>;
    tool_name: string;
    tool_use_id?: string;
    call_id?: string;
    summary?: string;
    tool_input?: Record<string, unknown>;
    outcome?: string;
    success?: boolean;
    error?: string;
    reason?: string;
    duration_ms?: number;
    spawns_agent?: boolean;
    child_id?: string;
    background_id?: string;
    [field: string]: unknown;
  };

  /** All these calls ended; a call whose `agent.tool_finished` is missing was denied or refused. */
  "agent.batch_finished": {
    session_id: string;
    agent_name?: string;
    agent_id?: string;
    agent_type?: string;
    parent_id?: string | null;
    span_id?: string;
    parent_span_id?: string;
    turn_id?: string;
    folder?: string;
    model?: string;
    details?: Record<string, unknown>;
    truncated?: Record<string, number>;
    calls: Array<Record<string, unknown>>;
    [field: string]: unknown;
  };

  /** An agent said something on its way: a thought, a question, a report. */
  "agent.message": {
    session_id?: string;
    agent_name?: string;
    agent_id?: string;
    agent_type?: string;
    parent_id?: string | null;
    span_id?: string;
    parent_span_id?: string;
    turn_id?: string;
    folder?: string;
    model?: string;
    details?: Record<string, unknown>;
    truncated?: Record<string, number>;
    content: string;
    role?: string;
    message_id?: string;
    [field: string]: unknown;
  };

  /** An agent ended its work. */
  "agent.session_finished": {
    session_id: string;
    agent_name?: string;
    agent_id?: string;
    agent_type?: string;
    parent_id?: string | null;
    span_id?: string;
    parent_span_id?: string;
    turn_id?: string;
    folder?: string;
    model?: string;
    details?: Record<string, unknown>;
    truncated?: Record<string, number>;
    status?: string;
    reason?: string;
    summary?: string;
    duration_ms?: number;
    [field: string]: unknown;
  };

  /** An agent needs a person. `reason` is permission, question, plan, or idle: it waits for a prompt. The gateway itself finds two more: failed, and silent: no event came while the agent worked. */
  "agent.attention_needed": {
    session_id: string;
    agent_name?: string;
    agent_id?: string;
    agent_type?: string;
    parent_id?: string | null;
    span_id?: string;
    parent_span_id?: string;
    turn_id?: string;
    folder?: string;
    model?: string;
    details?: Record<string, unknown>;
    truncated?: Record<string, number>;
    reason?: string;
    message?: string;
    tool_name?: string;
    tool_use_id?: string;
    summary?: string;
    tool_input?: Record<string, unknown>;
    [field: string]: unknown;
  };

  /** What one request to a model used; `request_id` is counted once for each `usage_source`. `input_tokens` exclude tokens that were read from a cache or written to it. */
  "agent.usage_reported": {
    session_id: string;
    agent_name?: string;
    agent_id?: string;
    agent_type?: string;
    parent_id?: string | null;
    span_id?: string;
    parent_span_id?: string;
    turn_id?: string;
    folder?: string;
    model?: string;
    details?: Record<string, unknown>;
    truncated?: Record<string, number>;
    request_id?: string;
    usage_source?: string;
    input_tokens?: number;
    output_tokens?: number;
    cache_read_tokens?: number;
    cache_creation_tokens?: number;
    cost_usd?: number;
    duration_ms?: number;
    [field: string]: unknown;
  };

  /** An agent could not go on with its turn. */
  "agent.error": {
    session_id: string;
    agent_name?: string;
    agent_id?: string;
    agent_type?: string;
    parent_id?: string | null;
    span_id?: string;
    parent_span_id?: string;
    turn_id?: string;
    folder?: string;
    model?: string;
    details?: Record<string, unknown>;
    truncated?: Record<string, number>;
    error?: string;
    message?: string;
    duration_ms?: number;
    [field: string]: unknown;
  };

  /** Something else that an agent reported, which changes no state; `kind` is its own name for it. `spans` has the parent of each span that is no step of an agent, and lies between two that are. */
  "agent.reported": {
    session_id?: string;
    agent_name?: string;
    agent_id?: string;
    agent_type?: string;
    parent_id?: string | null;
    span_id?: string;
    parent_span_id?: string;
    turn_id?: string;
    folder?: string;
    model?: string;
    details?: Record<string, unknown>;
    truncated?: Record<string, number>;
    kind: string;
    spans?: Record<string, string>;
    [field: string]: unknown;
  };

  /** A person sent a message to an agent. */
  "chat.message_sent": {
    role: string;
    content: string;
    agent_name?: string;
    [field: string]: unknown;
  };

  /** An agent answered with a complete message. */
  "chat.message_received": {
    role: string;
    content: string;
    agent_name?: string;
    [field: string]: unknown;
  };

  /** A part of an answer that is still being written. */
  "chat.streaming_chunk": {
    chunk: string;
    message_id?: string;
    agent_name?: string;
    [field: string]: unknown;
  };

  /** An agent began to think about its answer. */
  "chat.thinking_started": {
    agent_name?: string;
    message_id?: string;
    [field: string]: unknown;
  };

  /** An agent finished thinking. */
  "chat.thinking_finished": {
    agent_name?: string;
    message_id?: string;
    duration_ms?: number;
    [field: string]: unknown;
  };

  /** A workflow began to run. */
  "workflow.started": {
    workflow_id: string;
    workflow_name: string;
    project?: string;
    [field: string]: unknown;
  };

  /** A step of a workflow completed. */
  "workflow.step_completed": {
    workflow_id: string;
    step_name: string;
    step_index: number;
    total_steps: number;
    workflow_name?: string;
    [field: string]: unknown;
  };

  /** A workflow ran to its end. */
  "workflow.finished": {
    workflow_id: string;
    status: string;
    duration_ms: number;
    [field: string]: unknown;
  };

  /** A workflow stopped on an error. */
  "workflow.failed": {
    workflow_id: string;
    error: string;
    step_name?: string;
    [field: string]: unknown;
  };

  /** An epic was created. */
  "state.epic_created": {
    epic_id: string | number;
    title: string;
    [field: string]: unknown;
  };

  /** A story was created. */
  "state.story_created": {
    story_id: string | number;
    title: string;
    epic_id?: string | number;
    [field: string]: unknown;
  };

  /** A story moved from one state to another. */
  "state.story_transitioned": {
    story_id: string | number;
    from_state: string;
    to_state: string;
    epic_id?: string | number;
    title?: string;
    [field: string]: unknown;
  };

  /** A ceremony (a meeting of agents) began. */
  "ceremony.started": {
    ceremony_id: string;
    ceremony_type?: string;
    participants?: Array<string>;
    [field: string]: unknown;
  };

  /** A participant spoke in a ceremony. */
  "ceremony.message": {
    ceremony_id: string;
    content: string;
    agent_name?: string;
    [field: string]: unknown;
  };

  /** A ceremony ended. */
  "ceremony.ended": {
    ceremony_id: string;
    summary?: string;
    duration_ms?: number;
    [field: string]: unknown;
  };

  /** A card moved to another column of the board, or to another position. */
  "kanban.card_moved": {
    card_id: string | number;
    to_column: string;
    from_column?: string;
    position?: number;
    [field: string]: unknown;
  };

  /** The content of a card changed; only the changed fields need to be sent. */
  "kanban.card_updated": {
    card_id: string | number;
    title?: string;
    description?: string;
    assignee?: string;
    [field: string]: unknown;
  };

  /** A file or a directory was created. */
  "file.created": {
    path: string;
    size?: number;
    is_directory?: boolean;
    [field: string]: unknown;
  };

  /** A file or a directory was modified. */
  "file.modified": {
    path: string;
    size?: number;
    is_directory?: boolean;
    [field: string]: unknown;
  };

  /** A file or a directory was deleted. */
  "file.deleted": {
    path: string;
    size?: number;
    is_directory?: boolean;
    [field: string]: unknown;
  };

  /** A commit was created; `files_changed` is the list of paths, or their number. */
  "git.commit_created": {
    commit_hash: string;
    message: string;
    author: string;
    files_changed?: Array<string> | number;
    [field: string]: unknown;
  };

  /** A session changed its mode, such as read-only or write. */
  "session.mode_changed": {
    mode: string;
    previous_mode?: string;
    session_id?: string;
    reason?: string;
    [field: string]: unknown;
  };

  /** Another model provider is in use from now on. */
  "provider.changed": {
    provider: string;
    model?: string;
    previous_provider?: string;
    [field: string]: unknown;
  };

  /** A part of the system reports an error. */
  "system.error": {
    message: string;
    code?: string;
    component?: string;
    [field: string]: unknown;
  };

  /** Somebody used or changed a credential. The gateway publishes it; only admins read it. */
  "system.audit": {
    action: string;
    identity?: string;
    scopes?: Array<string>;
    session?: string;
    path?: string;
    peer?: string;
    status?: number;
    left_out?: number;
    [field: string]: unknown;
  };
}
