CREATE TABLE thread_goals (
    thread_id TEXT PRIMARY KEY NOT NULL,
    goal_id TEXT NOT NULL,
    objective TEXT NOT NULL,
    status TEXT NOT NULL CHECK(status IN (
        'active',
        'paused',
        'blocked',
        'usage_limited',
        'budget_limited',
        'complete'
    )),
    token_budget INTEGER,
    tokens_used INTEGER NOT NULL DEFAULT 0,
    time_used_seconds INTEGER NOT NULL DEFAULT 0,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
);
INSERT INTO thread_goals VALUES ('01a2271b-08c6-7380-ada6-6e12aa4aa800', '359f5ae9-9adc-499b-baa6-701c752436ed', 'Port the parser', 'paused', 1000000, 80, 0, 1795952413135, 1795952413271);
INSERT INTO thread_goals VALUES ('01a2271b-0a61-79e0-8fd1-b4884831cd27', 'cffdf109-c7b0-4606-b321-1cdda51de067', 'Rewrite everything', 'budget_limited', 150, 160, 0, 1795952413456, 1795952413559);
INSERT INTO thread_goals VALUES ('01a2271b-0b7d-7b93-a1de-0605d56fda49', '6b53fe92-96ba-4f36-883a-43215c20588d', 'QUOTA please', 'usage_limited', NULL, 0, 0, 1795952413738, 1795952413776);
INSERT INTO thread_goals VALUES ('01a2271b-0c55-7bf2-8032-f92417f5f00e', '9b4ec0e6-4710-4834-baa9-6b31fe7c3dee', 'Deploy it', 'blocked', NULL, 0, 0, 1795952413952, 1795952413962);
INSERT INTO thread_goals VALUES ('01a2271b-0d14-7092-9dfb-60f7880e848f', 'd1c9eaa4-3f25-4141-9f43-933613ea3dad', 'FINISH the notes', 'complete', NULL, 110, 0, 1795952414139, 1795952414180);
INSERT INTO thread_goals VALUES ('01a2271b-0ded-74a2-8bc1-62381f978318', '53e7f358-ca46-40ce-803c-b36fc838e9c5', 'Keep going for ever', 'active', 500000000, 1920, 0, 1795952414378, 1795952415361);
