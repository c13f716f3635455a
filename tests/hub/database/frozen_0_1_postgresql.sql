CREATE TABLE public.audit (
    id integer NOT NULL,
    at double precision NOT NULL,
    actor character varying NOT NULL,
    action character varying NOT NULL,
    model character varying,
    detail json NOT NULL
);
CREATE SEQUENCE public.audit_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.audit_id_seq OWNED BY public.audit.id;
CREATE TABLE public.datasets (
    id integer NOT NULL,
    model character varying NOT NULL,
    kind character varying NOT NULL,
    blob character varying NOT NULL,
    rows integer NOT NULL,
    added_at double precision NOT NULL
);
CREATE SEQUENCE public.datasets_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.datasets_id_seq OWNED BY public.datasets.id;
CREATE TABLE public.device_totals (
    model character varying NOT NULL,
    device character varying NOT NULL,
    predictions integer NOT NULL
);
CREATE TABLE public.devices (
    device character varying NOT NULL,
    model character varying NOT NULL,
    token character varying NOT NULL,
    enrolled_at double precision NOT NULL,
    seen_at double precision NOT NULL,
    attributes json NOT NULL,
    version character varying,
    plan integer NOT NULL,
    pack character varying,
    phase character varying NOT NULL,
    failed json NOT NULL,
    waiting integer NOT NULL,
    sharing boolean NOT NULL,
    software json NOT NULL
);
CREATE TABLE public.enrolment_tokens (
    token character varying NOT NULL,
    model character varying NOT NULL,
    uses integer NOT NULL,
    expires_at double precision NOT NULL
);
CREATE TABLE public.events (
    id integer NOT NULL,
    device character varying NOT NULL,
    model character varying NOT NULL,
    version character varying NOT NULL,
    outcome character varying NOT NULL,
    experiment character varying,
    step character varying,
    reason text,
    at integer NOT NULL
);
CREATE SEQUENCE public.events_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.events_id_seq OWNED BY public.events.id;
CREATE TABLE public.experiment_looks (
    id integer NOT NULL,
    experiment character varying NOT NULL,
    at double precision NOT NULL,
    event character varying NOT NULL,
    stage integer NOT NULL,
    step integer NOT NULL,
    reason text NOT NULL,
    figures json NOT NULL
);
CREATE SEQUENCE public.experiment_looks_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.experiment_looks_id_seq OWNED BY public.experiment_looks.id;
CREATE TABLE public.experiments (
    id character varying NOT NULL,
    model character varying NOT NULL,
    strategy character varying NOT NULL,
    candidate character varying NOT NULL,
    control character varying NOT NULL,
    status character varying NOT NULL,
    stage integer NOT NULL,
    step integer NOT NULL,
    step_started_at double precision NOT NULL,
    started_at double precision NOT NULL,
    ended_at double precision,
    reason text NOT NULL,
    figures json NOT NULL,
    spec json NOT NULL,
    state json NOT NULL
);
CREATE TABLE public.exposures (
    experiment character varying NOT NULL,
    start integer NOT NULL,
    device character varying NOT NULL,
    arm character varying NOT NULL,
    kind character varying NOT NULL,
    received_at double precision NOT NULL,
    predictions integer NOT NULL,
    errors integer NOT NULL,
    units integer NOT NULL,
    labelled integer NOT NULL,
    correct integer NOT NULL,
    rewards integer NOT NULL,
    reward_sum double precision NOT NULL,
    reward_squares double precision NOT NULL,
    latency_n integer NOT NULL,
    latency_sum double precision NOT NULL,
    latency_squares double precision NOT NULL,
    energy_windows integer NOT NULL,
    energy_n double precision NOT NULL,
    energy_sum double precision NOT NULL,
    energy_n_squares double precision NOT NULL,
    energy_cross double precision NOT NULL,
    energy_squares double precision NOT NULL,
    detail json NOT NULL
);
CREATE TABLE public.feedback (
    id integer NOT NULL,
    device character varying NOT NULL,
    model character varying NOT NULL,
    version character varying NOT NULL,
    experiment character varying,
    arm character varying NOT NULL,
    start integer NOT NULL,
    labelled integer NOT NULL,
    correct integer NOT NULL,
    own_labelled integer NOT NULL,
    own_correct integer NOT NULL,
    body json NOT NULL
);
CREATE SEQUENCE public.feedback_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.feedback_id_seq OWNED BY public.feedback.id;
CREATE TABLE public.firings (
    id integer NOT NULL,
    model character varying NOT NULL,
    trigger character varying NOT NULL,
    kind character varying NOT NULL,
    version character varying NOT NULL,
    at double precision NOT NULL,
    actor character varying NOT NULL,
    evidence json NOT NULL,
    mode character varying,
    since double precision NOT NULL,
    handled boolean NOT NULL
);
CREATE SEQUENCE public.firings_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.firings_id_seq OWNED BY public.firings.id;
CREATE TABLE public.group_answers (
    model character varying NOT NULL,
    version character varying NOT NULL,
    by character varying NOT NULL,
    name character varying NOT NULL,
    answer character varying NOT NULL,
    predictions integer NOT NULL
);
CREATE TABLE public.group_sums (
    model character varying NOT NULL,
    version character varying NOT NULL,
    by character varying NOT NULL,
    name character varying NOT NULL,
    start integer NOT NULL,
    observations integer NOT NULL,
    labelled integer NOT NULL,
    correct integer NOT NULL
);
CREATE TABLE public.messages (
    device character varying NOT NULL,
    boot character varying NOT NULL,
    sequence integer NOT NULL,
    kind character varying NOT NULL,
    at double precision NOT NULL
);
CREATE TABLE public.models (
    model character varying NOT NULL,
    policy text NOT NULL
);
CREATE TABLE public.monitor_alarms (
    id integer NOT NULL,
    model character varying NOT NULL,
    version character varying NOT NULL,
    signal character varying NOT NULL,
    kind character varying NOT NULL,
    raised_at double precision NOT NULL,
    start integer NOT NULL,
    seen_at double precision NOT NULL,
    evidence json NOT NULL,
    acknowledged_at double precision,
    acknowledged_by character varying
);
CREATE SEQUENCE public.monitor_alarms_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.monitor_alarms_id_seq OWNED BY public.monitor_alarms.id;
CREATE TABLE public.monitor_baselines (
    model character varying NOT NULL,
    version character varying NOT NULL,
    name character varying NOT NULL,
    device character varying NOT NULL,
    counts json NOT NULL
);
CREATE TABLE public.monitor_figures (
    id integer NOT NULL,
    model character varying NOT NULL,
    version character varying NOT NULL,
    signal character varying NOT NULL,
    kind character varying NOT NULL,
    start integer NOT NULL,
    "end" integer NOT NULL,
    alarming boolean NOT NULL,
    effect double precision NOT NULL,
    figures json NOT NULL
);
CREATE SEQUENCE public.monitor_figures_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.monitor_figures_id_seq OWNED BY public.monitor_figures.id;
CREATE TABLE public.monitor_states (
    model character varying NOT NULL,
    version character varying NOT NULL,
    watched_to integer NOT NULL,
    streaks json NOT NULL,
    concept json NOT NULL
);
CREATE TABLE public.plans (
    model character varying NOT NULL,
    serial integer NOT NULL,
    plan text NOT NULL,
    at double precision NOT NULL,
    actor character varying NOT NULL,
    reason text NOT NULL
);
CREATE TABLE public.reports (
    id integer NOT NULL,
    device character varying NOT NULL,
    model character varying NOT NULL,
    version character varying NOT NULL,
    experiment character varying,
    arm character varying NOT NULL,
    start integer NOT NULL,
    "end" integer NOT NULL,
    observations integer NOT NULL,
    predictions integer NOT NULL,
    failures integer NOT NULL,
    body json NOT NULL
);
CREATE SEQUENCE public.reports_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.reports_id_seq OWNED BY public.reports.id;
CREATE TABLE public.runs (
    id integer NOT NULL,
    model character varying NOT NULL,
    mode character varying NOT NULL,
    mode_reason text NOT NULL,
    parent character varying NOT NULL,
    causes json NOT NULL,
    status character varying NOT NULL,
    since double precision NOT NULL,
    until double precision,
    created_at double precision NOT NULL,
    updated_at double precision NOT NULL,
    attempts integer NOT NULL,
    rows integer NOT NULL,
    peak_mb integer NOT NULL,
    version character varying,
    experiment character varying,
    gate json NOT NULL,
    reason text NOT NULL
);
CREATE SEQUENCE public.runs_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.runs_id_seq OWNED BY public.runs.id;
CREATE TABLE public.samples (
    id integer NOT NULL,
    device character varying NOT NULL,
    model character varying NOT NULL,
    version character varying NOT NULL,
    taken integer NOT NULL,
    "row" json NOT NULL,
    label json NOT NULL
);
CREATE SEQUENCE public.samples_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.samples_id_seq OWNED BY public.samples.id;
CREATE TABLE public.schema_version (
    version integer NOT NULL
);
CREATE SEQUENCE public.schema_version_version_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.schema_version_version_seq OWNED BY public.schema_version.version;
CREATE TABLE public.trigger_evaluations (
    id integer NOT NULL,
    model character varying NOT NULL,
    trigger character varying NOT NULL,
    version character varying NOT NULL,
    policy character varying NOT NULL,
    first_at double precision NOT NULL,
    last_at double precision NOT NULL,
    times integer NOT NULL,
    outcome character varying NOT NULL,
    reason text NOT NULL,
    evidence json NOT NULL
);
CREATE SEQUENCE public.trigger_evaluations_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.trigger_evaluations_id_seq OWNED BY public.trigger_evaluations.id;
CREATE TABLE public.trigger_states (
    model character varying NOT NULL,
    trigger character varying NOT NULL,
    state json NOT NULL,
    hook character varying
);
CREATE TABLE public.versions (
    model character varying NOT NULL,
    version character varying NOT NULL,
    manifest character varying NOT NULL,
    parent character varying,
    mode character varying NOT NULL,
    metrics json NOT NULL,
    rows integer NOT NULL,
    status character varying NOT NULL,
    training_state character varying,
    published_at double precision NOT NULL,
    actor character varying NOT NULL,
    override text
);
CREATE TABLE public.votes (
    model character varying NOT NULL,
    period integer NOT NULL,
    device character varying NOT NULL,
    key character varying NOT NULL
);
ALTER TABLE ONLY public.audit ALTER COLUMN id SET DEFAULT nextval('public.audit_id_seq'::regclass);
ALTER TABLE ONLY public.datasets ALTER COLUMN id SET DEFAULT nextval('public.datasets_id_seq'::regclass);
ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.events_id_seq'::regclass);
ALTER TABLE ONLY public.experiment_looks ALTER COLUMN id SET DEFAULT nextval('public.experiment_looks_id_seq'::regclass);
ALTER TABLE ONLY public.feedback ALTER COLUMN id SET DEFAULT nextval('public.feedback_id_seq'::regclass);
ALTER TABLE ONLY public.firings ALTER COLUMN id SET DEFAULT nextval('public.firings_id_seq'::regclass);
ALTER TABLE ONLY public.monitor_alarms ALTER COLUMN id SET DEFAULT nextval('public.monitor_alarms_id_seq'::regclass);
ALTER TABLE ONLY public.monitor_figures ALTER COLUMN id SET DEFAULT nextval('public.monitor_figures_id_seq'::regclass);
ALTER TABLE ONLY public.reports ALTER COLUMN id SET DEFAULT nextval('public.reports_id_seq'::regclass);
ALTER TABLE ONLY public.runs ALTER COLUMN id SET DEFAULT nextval('public.runs_id_seq'::regclass);
ALTER TABLE ONLY public.samples ALTER COLUMN id SET DEFAULT nextval('public.samples_id_seq'::regclass);
ALTER TABLE ONLY public.schema_version ALTER COLUMN version SET DEFAULT nextval('public.schema_version_version_seq'::regclass);
ALTER TABLE ONLY public.trigger_evaluations ALTER COLUMN id SET DEFAULT nextval('public.trigger_evaluations_id_seq'::regclass);
INSERT INTO public.audit VALUES (1, 1795954648.5531347, 'ci', 'publish', 'demo', '{"version": "1.0", "manifest": "5989f4a44d8ea5575213d3d9674d99d8509d4f512fbca00e5dc624933969542c", "override": null}');
INSERT INTO public.audit VALUES (2, 1795954648.572703, 'ann', 'plan', 'demo', '{"serial": 1, "reason": "first", "serving": "1.0", "evidence": null}');
INSERT INTO public.audit VALUES (3, 1795954648.66557, 'ci', 'publish', 'demo', '{"version": "1.1", "manifest": "3656cab62c5885feaf98e24637bda575865595148a304444a445bce0343abb53", "override": null}');
INSERT INTO public.audit VALUES (4, 1795954648.6756814, 'ann', 'enrol-token', 'demo', '{"uses": 3, "seconds": 3600}');
INSERT INTO public.audit VALUES (5, 1795954648.6833313, 'd-f5b16522b791', 'enrol', 'demo', '{"region": "eu"}');
INSERT INTO public.audit VALUES (6, 1795954648.6870663, 'd-df6af1d861cd', 'enrol', 'demo', '{"region": "us"}');
INSERT INTO public.audit VALUES (7, 1795954648.69611, 'ann', 'policy', 'demo', '{"policy": "triggers: [{name: often, when: {every: 1s}, cooldown: 0s}]\ntrain: {entry: ''os:getcwd''}\nsharing: {samples: true, per_window: 5}\npacks: {every: 1s}\n", "override": null}');
INSERT INTO public.audit VALUES (8, 1795954648.7919106, 'hub', 'run requested', 'demo', '{"run": 1, "cause": {"kind": "every", "trigger": "often", "version": "1.0", "at": 1795954708.7491632, "evidence": {"every_seconds": 1.0, "due": "2026-11-29T12:17:29+00:00"}, "actor": "hub"}}');
INSERT INTO public.audit VALUES (9, 1795954648.7926128, 'hub', 'trigger fired', 'demo', '{"trigger": "often", "kind": "every", "version": "1.0", "evidence": {"every_seconds": 1.0, "due": "2026-11-29T12:17:29+00:00"}}');
INSERT INTO public.audit VALUES (10, 1795954648.8185365, 'ann', 'plan', 'demo', '{"serial": 2, "reason": "again", "serving": "1.0", "evidence": null}');
INSERT INTO public.audit VALUES (11, 1795954648.8385217, 'ann', 'plan', 'demo', '{"serial": 3, "reason": "demo-canary-1: 1.1 on 1% of everybody", "serving": "1.0", "experiment": "demo-canary-1", "evidence": null}');
INSERT INTO public.audit VALUES (12, 1795954648.8458786, 'ann', 'canary started', 'demo', '{"experiment": "demo-canary-1", "reason": "demo-canary-1: 1.1 on 1% of everybody", "figures": {"model": "demo", "strategy": "canary", "candidate": "1.1", "arms": [], "unit": "device", "share": 1.0, "steps": [0.01, 0.05, 0.25, 0.5, 1.0], "stages": [], "soak_seconds": 600.0, "soak_predictions": 0, "minimum_outcomes": 100, "minimum_devices": 1, "no_data_seconds": 86400.0, "outcomes": [{"name": "accuracy", "metric": "accuracy", "direction": "up", "minimum_effect": 0.02}], "guardrails": {"alpha": 0.01, "max_failed_devices": 1, "max_error_share": 0.01, "then": "abort"}, "design": {"alpha": 0.05, "looks": 10}, "minimum_effect": 0.0, "device_share": 1.0, "unreachable_seconds": 7200.0, "approval": false}}');
INSERT INTO public.datasets VALUES (1, 'demo', 'holdout', '0f5f34ceba20c65b77c2ae843abd1b88c25dc9e6316a5eb58ee02dcd33716869', 4, 1795954648.7476063);
INSERT INTO public.devices VALUES ('d-f5b16522b791', 'demo', '96773682c5141fb2cb8346e2150c3973276a41514cae24f2714d5d4b190d5a14', 1795954648.6807845, 1795954648.7254832, '{}', '1.0', 1, NULL, 'idle', '[]', 0, false, '{}');
INSERT INTO public.devices VALUES ('d-df6af1d861cd', 'demo', 'e28c8e1bb5a621515e39da5cc6397a60c9901ceb5a25c4cb8fe6f3d70df6e191', 1795954648.6859434, 1795954648.7369666, '{}', '1.0', 1, NULL, 'idle', '[]', 0, false, '{}');
INSERT INTO public.enrolment_tokens VALUES ('d0b2fc5e5d87a50e5dfc948ff61fd6d40bceb30302dba133d508f0b7b7334b42', 'demo', 1, 1795958248.673219);
INSERT INTO public.events VALUES (1, 'd-f5b16522b791', 'demo', '1.1', 'failed', NULL, 'probe', 'too slow', 1795954590);
INSERT INTO public.events VALUES (2, 'd-df6af1d861cd', 'demo', '1.1', 'failed', NULL, 'probe', 'too slow', 1795954590);
INSERT INTO public.experiment_looks VALUES (1, 'demo-canary-1', 1795954648.8434966, 'started', 0, 0, 'demo-canary-1: 1.1 on 1% of everybody', '{"model": "demo", "strategy": "canary", "candidate": "1.1", "arms": [], "unit": "device", "share": 1.0, "steps": [0.01, 0.05, 0.25, 0.5, 1.0], "stages": [], "soak_seconds": 600.0, "soak_predictions": 0, "minimum_outcomes": 100, "minimum_devices": 1, "no_data_seconds": 86400.0, "outcomes": [{"name": "accuracy", "metric": "accuracy", "direction": "up", "minimum_effect": 0.02}], "guardrails": {"alpha": 0.01, "max_failed_devices": 1, "max_error_share": 0.01, "then": "abort"}, "design": {"alpha": 0.05, "looks": 10}, "minimum_effect": 0.0, "device_share": 1.0, "unreachable_seconds": 7200.0, "approval": false}');
INSERT INTO public.experiments VALUES ('demo-canary-1', 'demo', 'canary', '1.1', '1.0', 'running', 0, 0, 1795954648.841873, 1795954648.841873, NULL, 'started', '{}', '{"model": "demo", "strategy": "canary", "candidate": "1.1", "arms": [], "unit": "device", "share": 1.0, "steps": [0.01, 0.05, 0.25, 0.5, 1.0], "stages": [], "soak_seconds": 600.0, "soak_predictions": 0, "minimum_outcomes": 100, "minimum_devices": 1, "no_data_seconds": 86400.0, "outcomes": [{"name": "accuracy", "metric": "accuracy", "direction": "up", "minimum_effect": 0.02}], "guardrails": {"alpha": 0.01, "max_failed_devices": 1, "max_error_share": 0.01, "then": "abort"}, "design": {"alpha": 0.05, "looks": 10}, "minimum_effect": 0.0, "device_share": 1.0, "unreachable_seconds": 7200.0, "approval": false}', '{"serial": 3, "failures_since": 0.0}');
INSERT INTO public.feedback VALUES (1, 'd-f5b16522b791', 'demo', '1.0', NULL, 'control', 1795954560, 5, 4, 5, 3, '{"window": {"model": "demo", "version": "1.0", "start": 1795954560, "end": 1795954620, "arm": "control"}, "labelled": 5, "correct": 4, "own_labelled": 5, "own_correct": 3, "by_source": {}, "rewards": 0, "reward_sum": 0.0, "reward_squares": 0.0, "unmatched": 0, "groups": {}, "format": 1}');
INSERT INTO public.feedback VALUES (2, 'd-df6af1d861cd', 'demo', '1.0', NULL, 'control', 1795954560, 5, 4, 5, 3, '{"window": {"model": "demo", "version": "1.0", "start": 1795954560, "end": 1795954620, "arm": "control"}, "labelled": 5, "correct": 4, "own_labelled": 5, "own_correct": 3, "by_source": {}, "rewards": 0, "reward_sum": 0.0, "reward_squares": 0.0, "unmatched": 0, "groups": {}, "format": 1}');
INSERT INTO public.firings VALUES (1, 'demo', 'often', 'every', '1.0', 1795954708.7491632, 'hub', '{"every_seconds": 1.0, "due": "2026-11-29T12:17:29+00:00"}', NULL, 1795954648.5516543, true);
INSERT INTO public.messages VALUES ('d-f5b16522b791', 'b1', 1, 'window', 1795954648.7125218);
INSERT INTO public.messages VALUES ('d-f5b16522b791', 'b1', 2, 'feedback', 1795954648.7165291);
INSERT INTO public.messages VALUES ('d-f5b16522b791', 'b1', 3, 'votes', 1795954648.7189088);
INSERT INTO public.messages VALUES ('d-f5b16522b791', 'b1', 4, 'event', 1795954648.7214522);
INSERT INTO public.messages VALUES ('d-f5b16522b791', 'b1', 5, 'samples', 1795954648.7235508);
INSERT INTO public.messages VALUES ('d-df6af1d861cd', 'b1', 1, 'window', 1795954648.7294075);
INSERT INTO public.messages VALUES ('d-df6af1d861cd', 'b1', 2, 'feedback', 1795954648.7312548);
INSERT INTO public.messages VALUES ('d-df6af1d861cd', 'b1', 3, 'votes', 1795954648.7324312);
INSERT INTO public.messages VALUES ('d-df6af1d861cd', 'b1', 4, 'event', 1795954648.734576);
INSERT INTO public.messages VALUES ('d-df6af1d861cd', 'b1', 5, 'samples', 1795954648.7357626);
INSERT INTO public.models VALUES ('demo', 'triggers: [{name: often, when: {every: 1s}, cooldown: 0s}]
train: {entry: ''os:getcwd''}
sharing: {samples: true, per_window: 5}
packs: {every: 1s}
');
INSERT INTO public.monitor_figures VALUES (1, 'demo', '1.0', 'concept:errors', 'concept', 1795954560, 1795954620, false, 0, '{"labelled": 10, "errors": 4, "coverage": 0.5, "base_rate": null, "evidence": 0.0, "alarm_from": 2000000.0, "alarmed_at": null, "risen_since": null}');
INSERT INTO public.monitor_states VALUES ('demo', '1.0', 0, '{}', '{"scored_to": 1795954561, "base": null, "own": {}, "counts": {"d-df6af1d861cd": [2, 5], "d-f5b16522b791": [2, 5]}, "detector": {"parts": [0.0, 0.0, 0.0, 0.0], "sums": [0.0, 0.0, 0.0, 0.0], "risen": [0, 0, 0, 0]}, "groups": {}}');
INSERT INTO public.plans VALUES ('demo', 1, '{"cascade":{"deadline_ms":250,"mode":"cascade"},"format":1,"model":"demo","reporting":{"minimum_observations":100,"votes":100,"window_seconds":300},"serial":1,"serving":{"manifest":"5989f4a44d8ea5575213d3d9674d99d8509d4f512fbca00e5dc624933969542c","version":"1.0"},"sharing":{"per_window":0,"samples":false}}', 1795954648.5715535, 'ann', 'first');
INSERT INTO public.plans VALUES ('demo', 2, '{"cascade":{"deadline_ms":250,"mode":"cascade"},"format":1,"model":"demo","reporting":{"minimum_observations":100,"votes":100,"window_seconds":300},"serial":2,"serving":{"manifest":"5989f4a44d8ea5575213d3d9674d99d8509d4f512fbca00e5dc624933969542c","version":"1.0"},"sharing":{"per_window":5,"samples":true}}', 1795954648.818098, 'ann', 'again');
INSERT INTO public.plans VALUES ('demo', 3, '{"cascade":{"deadline_ms":250,"mode":"cascade"},"experiment":{"arms":[{"name":"candidate","release":{"manifest":"3656cab62c5885feaf98e24637bda575865595148a304444a445bce0343abb53","version":"1.1"},"slots":[[0,100]]}],"completed":[],"dropped":[],"id":"demo-canary-1","outcomes":[{"direction":"up","metric":"accuracy","minimum_effect":0.02,"name":"accuracy"}],"paused":false,"salt":"demo-canary-1.1","share":1.0,"strategy":"canary","unit":"device"},"format":1,"model":"demo","reporting":{"minimum_observations":100,"votes":100,"window_seconds":300},"serial":3,"serving":{"manifest":"5989f4a44d8ea5575213d3d9674d99d8509d4f512fbca00e5dc624933969542c","version":"1.0"},"sharing":{"per_window":5,"samples":true}}', 1795954648.8380713, 'ann', 'demo-canary-1: 1.1 on 1% of everybody');
INSERT INTO public.reports VALUES (1, 'd-f5b16522b791', 'demo', '1.0', NULL, 'control', 1795954560, 1795954620, 10, 10, 0, '{"window": {"model": "demo", "version": "1.0", "start": 1795954560, "end": 1795954620, "arm": "control"}, "profile": "640016786826833b5f357a18b030c7bddaaba52c2b56f564e2c9803998bede39", "predictions": {"model": 8, "pack": 2}, "features": "BCIKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIgoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAiCgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACIKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "outputs": "AgUKAAAAAAQKAAAA", "observations": 10, "degraded": 0, "defaulted": 0, "units": 0, "errors": {}, "latency": {"model": [8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}, "lost": {}, "resources": {}, "groups": {}, "format": 2}');
INSERT INTO public.reports VALUES (2, 'd-df6af1d861cd', 'demo', '1.0', NULL, 'control', 1795954560, 1795954620, 10, 10, 0, '{"window": {"model": "demo", "version": "1.0", "start": 1795954560, "end": 1795954620, "arm": "control"}, "profile": "640016786826833b5f357a18b030c7bddaaba52c2b56f564e2c9803998bede39", "predictions": {"model": 8, "pack": 2}, "features": "BCIKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIgoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAiCgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACIKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "outputs": "AgUKAAAAAAQKAAAA", "observations": 10, "degraded": 0, "defaulted": 0, "units": 0, "errors": {}, "latency": {"model": [8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}, "lost": {}, "resources": {}, "groups": {}, "format": 2}');
INSERT INTO public.runs VALUES (1, 'demo', 'stateful', '', '1.0', '[{"kind": "every", "trigger": "often", "version": "1.0", "at": 1795954708.7491632, "evidence": {"every_seconds": 1.0, "due": "2026-11-29T12:17:29+00:00"}, "actor": "hub"}]', 'waiting', 1795954648.5516543, NULL, 1795954648.789359, 1795954648.7978883, 0, 0, 0, NULL, NULL, '[]', '0 of 200 fresh rows');
INSERT INTO public.samples VALUES (1, 'd-f5b16522b791', 'demo', '1.0', 1795954590, '[0.3455841839313507, 0.8216181397438049, 0.3304370641708374, -1.3031572103500366]', '0');
INSERT INTO public.samples VALUES (2, 'd-f5b16522b791', 'demo', '1.0', 1795954590, '[0.9053558707237244, 0.4463745653629303, -0.5369532108306885, 0.581118106842041]', '0');
INSERT INTO public.samples VALUES (3, 'd-f5b16522b791', 'demo', '1.0', 1795954590, '[0.3645724058151245, 0.2941325008869171, 0.028422242030501366, 0.5467129945755005]', '0');
INSERT INTO public.samples VALUES (4, 'd-f5b16522b791', 'demo', '1.0', 1795954590, '[-0.7364540696144104, -0.16290995478630066, -0.4821193218231201, 0.5988461971282959]', '0');
INSERT INTO public.samples VALUES (5, 'd-df6af1d861cd', 'demo', '1.0', 1795954590, '[0.3455841839313507, 0.8216181397438049, 0.3304370641708374, -1.3031572103500366]', '0');
INSERT INTO public.samples VALUES (6, 'd-df6af1d861cd', 'demo', '1.0', 1795954590, '[0.9053558707237244, 0.4463745653629303, -0.5369532108306885, 0.581118106842041]', '0');
INSERT INTO public.samples VALUES (7, 'd-df6af1d861cd', 'demo', '1.0', 1795954590, '[0.3645724058151245, 0.2941325008869171, 0.028422242030501366, 0.5467129945755005]', '0');
INSERT INTO public.samples VALUES (8, 'd-df6af1d861cd', 'demo', '1.0', 1795954590, '[-0.7364540696144104, -0.16290995478630066, -0.4821193218231201, 0.5988461971282959]', '0');
INSERT INTO public.schema_version VALUES (4);
INSERT INTO public.trigger_evaluations VALUES (1, 'demo', 'often', '1.0', '03cb79ed25d3b75151701dd43d23e94d45d69d2e26147da24483b9e14aa941d2', 1795954708.7491632, 1795954708.7491632, 1, 'fired', '', '{"every_seconds": 1.0, "due": "2026-11-29T12:17:29+00:00"}');
INSERT INTO public.trigger_states VALUES ('demo', 'often', '{"fired_at": 1795954708.7491632, "fired_version": "1.0", "rearmed": false, "held_since": null, "call": null}', NULL);
INSERT INTO public.versions VALUES ('demo', '1.0', '5989f4a44d8ea5575213d3d9674d99d8509d4f512fbca00e5dc624933969542c', NULL, 'stateless', '{}', 0, 'serving', '4ba69735ca53765ed6a709edb56c6ea236b7193a3b29a6b390c346f0f4340e4e', 1795954648.5516543, 'ci', NULL);
INSERT INTO public.versions VALUES ('demo', '1.1', '3656cab62c5885feaf98e24637bda575865595148a304444a445bce0343abb53', NULL, 'stateless', '{}', 0, 'published', NULL, 1795954648.662648, 'ci', NULL);
SELECT pg_catalog.setval('public.audit_id_seq', 12, true);
SELECT pg_catalog.setval('public.datasets_id_seq', 1, true);
SELECT pg_catalog.setval('public.events_id_seq', 2, true);
SELECT pg_catalog.setval('public.experiment_looks_id_seq', 1, true);
SELECT pg_catalog.setval('public.feedback_id_seq', 2, true);
SELECT pg_catalog.setval('public.firings_id_seq', 1, true);
SELECT pg_catalog.setval('public.monitor_alarms_id_seq', 1, false);
SELECT pg_catalog.setval('public.monitor_figures_id_seq', 1, true);
SELECT pg_catalog.setval('public.reports_id_seq', 2, true);
SELECT pg_catalog.setval('public.runs_id_seq', 1, true);
SELECT pg_catalog.setval('public.samples_id_seq', 8, true);
SELECT pg_catalog.setval('public.schema_version_version_seq', 1, false);
SELECT pg_catalog.setval('public.trigger_evaluations_id_seq', 1, true);
ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.datasets
    ADD CONSTRAINT datasets_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.device_totals
    ADD CONSTRAINT device_totals_pkey PRIMARY KEY (model, device);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT devices_pkey PRIMARY KEY (device);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT devices_token_key UNIQUE (token);
ALTER TABLE ONLY public.enrolment_tokens
    ADD CONSTRAINT enrolment_tokens_pkey PRIMARY KEY (token);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.experiment_looks
    ADD CONSTRAINT experiment_looks_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.experiments
    ADD CONSTRAINT experiments_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.exposures
    ADD CONSTRAINT exposures_pkey PRIMARY KEY (experiment, start, device, arm, kind);
ALTER TABLE ONLY public.feedback
    ADD CONSTRAINT feedback_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.firings
    ADD CONSTRAINT firings_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.group_answers
    ADD CONSTRAINT group_answers_pkey PRIMARY KEY (model, version, by, name, answer);
ALTER TABLE ONLY public.group_sums
    ADD CONSTRAINT group_sums_pkey PRIMARY KEY (model, version, by, name, start);
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (device, boot, sequence);
ALTER TABLE ONLY public.models
    ADD CONSTRAINT models_pkey PRIMARY KEY (model);
ALTER TABLE ONLY public.monitor_alarms
    ADD CONSTRAINT monitor_alarms_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.monitor_baselines
    ADD CONSTRAINT monitor_baselines_pkey PRIMARY KEY (model, version, name, device);
ALTER TABLE ONLY public.monitor_figures
    ADD CONSTRAINT monitor_figures_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.monitor_states
    ADD CONSTRAINT monitor_states_pkey PRIMARY KEY (model, version);
ALTER TABLE ONLY public.plans
    ADD CONSTRAINT plans_pkey PRIMARY KEY (model, serial);
ALTER TABLE ONLY public.reports
    ADD CONSTRAINT reports_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.samples
    ADD CONSTRAINT samples_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.trigger_evaluations
    ADD CONSTRAINT trigger_evaluations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.trigger_states
    ADD CONSTRAINT trigger_states_pkey PRIMARY KEY (model, trigger);
ALTER TABLE ONLY public.versions
    ADD CONSTRAINT versions_pkey PRIMARY KEY (model, version);
ALTER TABLE ONLY public.votes
    ADD CONSTRAINT votes_pkey PRIMARY KEY (model, period, device, key);
CREATE INDEX evaluations_by_trigger ON public.trigger_evaluations USING btree (model, trigger, id);
CREATE INDEX feedback_by_window ON public.feedback USING btree (model, version, start);
CREATE INDEX figures_by_age ON public.monitor_figures USING btree (start);
CREATE INDEX figures_by_signal ON public.monitor_figures USING btree (model, signal, start);
CREATE INDEX figures_by_time ON public.monitor_figures USING btree (model, version, start);
CREATE INDEX ix_audit_model ON public.audit USING btree (model);
CREATE INDEX ix_datasets_model ON public.datasets USING btree (model);
CREATE INDEX ix_devices_model ON public.devices USING btree (model);
CREATE INDEX ix_events_model ON public.events USING btree (model);
CREATE INDEX ix_experiment_looks_experiment ON public.experiment_looks USING btree (experiment);
CREATE INDEX ix_experiments_model ON public.experiments USING btree (model);
CREATE INDEX ix_firings_model ON public.firings USING btree (model);
CREATE INDEX ix_monitor_alarms_model ON public.monitor_alarms USING btree (model);
CREATE INDEX ix_runs_model ON public.runs USING btree (model);
CREATE INDEX reports_by_end ON public.reports USING btree ("end");
CREATE INDEX reports_by_window ON public.reports USING btree (model, version, start);
CREATE INDEX samples_by_time ON public.samples USING btree (model, taken);
