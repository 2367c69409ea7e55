// Written by `python -m app.contract`; do not edit by hand.

/** The `data` of every event type. Fields beyond those named here pass through unchanged. */
export interface EventData {
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

  /** An agent began to work; every later event of this run carries the same `session_id`. */
  "agent.session_started": {
    session_id: string;
    agent_name?: string;
    task?: string;
    model?: string;
    folder?: string;
    [field: string]: unknown;
  };

  /** An agent called a tool; `summary` is for people, such as the command or the path. */
  "agent.tool_called": {
    tool_name: string;
    session_id?: string;
    call_id?: string;
    agent_name?: string;
    summary?: string;
    [field: string]: unknown;
  };

  /** A tool that an agent called has finished; `error` says why `success` is false. */
  "agent.tool_finished": {
    tool_name: string;
    session_id?: string;
    call_id?: string;
    agent_name?: string;
    summary?: string;
    success?: boolean;
    error?: string;
    duration_ms?: number;
    [field: string]: unknown;
  };

  /** An agent wrote something while it worked: a thought, a question, a report. */
  "agent.message": {
    content: string;
    session_id?: string;
    agent_name?: string;
    role?: string;
    [field: string]: unknown;
  };

  /** An agent ended its work. */
  "agent.session_finished": {
    session_id: string;
    agent_name?: string;
    status?: string;
    summary?: string;
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
}
