CREATE TABLE threads (
    id TEXT PRIMARY KEY,
    rollout_path TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    source TEXT NOT NULL,
    model_provider TEXT NOT NULL,
    cwd TEXT NOT NULL,
    title TEXT NOT NULL,
    sandbox_policy TEXT NOT NULL,
    approval_mode TEXT NOT NULL,
    tokens_used INTEGER NOT NULL DEFAULT 0,
    has_user_event INTEGER NOT NULL DEFAULT 0,
    archived INTEGER NOT NULL DEFAULT 0,
    archived_at INTEGER,
    git_sha TEXT,
    git_branch TEXT,
    git_origin_url TEXT
, cli_version TEXT NOT NULL DEFAULT '', first_user_message TEXT NOT NULL DEFAULT '', agent_nickname TEXT, agent_role TEXT, memory_mode TEXT NOT NULL DEFAULT 'enabled', model TEXT, reasoning_effort TEXT, agent_path TEXT, created_at_ms INTEGER, updated_at_ms INTEGER, thread_source TEXT, preview TEXT NOT NULL DEFAULT '', recency_at INTEGER NOT NULL DEFAULT 0, recency_at_ms INTEGER NOT NULL DEFAULT 0, history_mode TEXT NOT NULL DEFAULT 'legacy', name TEXT, is_pinned INTEGER NOT NULL DEFAULT 0, thread_section_id TEXT
    REFERENCES thread_sections(id) ON DELETE SET NULL, section_position INTEGER, section_entered_at_ms INTEGER, project_id TEXT
    REFERENCES projects(id) ON DELETE SET NULL, originator TEXT, daybreak_enabled BOOLEAN, creator_user_id TEXT, creator_account_id TEXT, attached_thread_parent_id TEXT);
INSERT INTO threads VALUES ('01a2271b-08c6-7380-ada6-6e12aa4aa800', '/home/me/codex/sessions/2026/11/29/rollout-2026-11-29T11-40-12-01a2271b-08c6-7380-ada6-6e12aa4aa800.jsonl', 1795952412, 1795952413, 'vscode', 'scripted', '/home/me/project', '', '{"type":"managed","file_system":{"type":"restricted","entries":[{"path":{"type":"special","value":{"kind":"root"}},"access":"read"}]},"network":"restricted"}', 'on-request', 240, 0, 0, NULL, NULL, NULL, NULL, '0.171.0', '', NULL, NULL, 'enabled', 'gpt-5', NULL, NULL, 1795952412881, 1795952413314, NULL, 'Port the parser', 1795952413, 1795952413274, 'paginated', NULL, 0, NULL, NULL, NULL, NULL, 't', NULL, NULL, NULL, NULL);
INSERT INTO threads VALUES ('01a2271b-0a61-79e0-8fd1-b4884831cd27', '/home/me/codex/sessions/2026/11/29/rollout-2026-11-29T11-40-13-01a2271b-0a61-79e0-8fd1-b4884831cd27.jsonl', 1795952413, 1795952413, 'vscode', 'scripted', '/home/me/project', '', '{"type":"managed","file_system":{"type":"restricted","entries":[{"path":{"type":"special","value":{"kind":"root"}},"access":"read"}]},"network":"restricted"}', 'on-request', 240, 0, 0, NULL, NULL, NULL, NULL, '0.171.0', '', NULL, NULL, 'enabled', 'gpt-5', NULL, NULL, 1795952413283, 1795952413561, NULL, 'Rewrite everything', 1795952413, 1795952413518, 'paginated', NULL, 0, NULL, NULL, NULL, NULL, 't', NULL, NULL, NULL, NULL);
INSERT INTO threads VALUES ('01a2271b-0b7d-7b93-a1de-0605d56fda49', '/home/me/codex/sessions/2026/11/29/rollout-2026-11-29T11-40-13-01a2271b-0b7d-7b93-a1de-0605d56fda49.jsonl', 1795952413, 1795952413, 'vscode', 'scripted', '/home/me/project', '', '{"type":"managed","file_system":{"type":"restricted","entries":[{"path":{"type":"special","value":{"kind":"root"}},"access":"read"}]},"network":"restricted"}', 'on-request', 0, 0, 0, NULL, NULL, NULL, NULL, '0.171.0', '', NULL, NULL, 'enabled', 'gpt-5', NULL, NULL, 1795952413567, 1795952413779, NULL, 'QUOTA please', 1795952413, 1795952413747, 'paginated', NULL, 0, NULL, NULL, NULL, NULL, 't', NULL, NULL, NULL, NULL);
INSERT INTO threads VALUES ('01a2271b-0c55-7bf2-8032-f92417f5f00e', '/home/me/codex/sessions/2026/11/29/rollout-2026-11-29T11-40-13-01a2271b-0c55-7bf2-8032-f92417f5f00e.jsonl', 1795952413, 1795952414, 'vscode', 'scripted', '/home/me/project', '', '{"type":"managed","file_system":{"type":"restricted","entries":[{"path":{"type":"special","value":{"kind":"root"}},"access":"read"}]},"network":"restricted"}', 'on-request', 120, 0, 0, NULL, NULL, NULL, NULL, '0.171.0', '', NULL, NULL, 'enabled', 'gpt-5', NULL, NULL, 1795952413782, 1795952414033, NULL, 'Deploy it', 1795952413, 1795952413962, 'paginated', NULL, 0, NULL, NULL, NULL, NULL, 't', NULL, NULL, NULL, NULL);
INSERT INTO threads VALUES ('01a2271b-0d14-7092-9dfb-60f7880e848f', '/home/me/codex/sessions/2026/11/29/rollout-2026-11-29T11-40-13-01a2271b-0d14-7092-9dfb-60f7880e848f.jsonl', 1795952413, 1795952414, 'vscode', 'scripted', '/home/me/project', '', '{"type":"managed","file_system":{"type":"restricted","entries":[{"path":{"type":"special","value":{"kind":"root"}},"access":"read"}]},"network":"restricted"}', 'on-request', 260, 0, 0, NULL, NULL, NULL, NULL, '0.171.0', '', NULL, NULL, 'enabled', 'gpt-5', NULL, NULL, 1795952413973, 1795952414225, NULL, 'FINISH the notes', 1795952414, 1795952414183, 'paginated', NULL, 0, NULL, NULL, NULL, NULL, 't', NULL, NULL, NULL, NULL);
INSERT INTO threads VALUES ('01a2271b-0ded-74a2-8bc1-62381f978318', '/home/me/codex/sessions/2026/11/29/rollout-2026-11-29T11-40-14-01a2271b-0ded-74a2-8bc1-62381f978318.jsonl', 1795952414, 1795952415, 'vscode', 'scripted', '/home/me/project', '', '{"type":"managed","file_system":{"type":"restricted","entries":[{"path":{"type":"special","value":{"kind":"root"}},"access":"read"}]},"network":"restricted"}', 'on-request', 2880, 0, 0, NULL, NULL, NULL, NULL, '0.171.0', '', NULL, NULL, 'enabled', 'gpt-5', NULL, NULL, 1795952414190, 1795952415370, NULL, 'Keep going for ever', 1795952415, 1795952415368, 'paginated', NULL, 0, NULL, NULL, NULL, NULL, 't', NULL, NULL, NULL, NULL);
