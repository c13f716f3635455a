BEGIN TRANSACTION;
CREATE TABLE audit (
	id INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	actor VARCHAR NOT NULL, 
	action VARCHAR NOT NULL, 
	model VARCHAR, 
	detail JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "audit" VALUES(1,1.79595458640077829367e+09,'ci','publish','demo','{"version": "1.0", "manifest": "5989f4a44d8ea5575213d3d9674d99d8509d4f512fbca00e5dc624933969542c", "override": null}');
INSERT INTO "audit" VALUES(2,1.79595458640814065933e+09,'ann','plan','demo','{"serial": 1, "reason": "first", "serving": "1.0", "evidence": null}');
INSERT INTO "audit" VALUES(3,1.79595458644021391866e+09,'ci','publish','demo','{"version": "1.1", "manifest": "3656cab62c5885feaf98e24637bda575865595148a304444a445bce0343abb53", "override": null}');
INSERT INTO "audit" VALUES(4,1.79595458644229149817e+09,'ann','enrol-token','demo','{"uses": 3, "seconds": 3600}');
INSERT INTO "audit" VALUES(5,1.79595458644576287266e+09,'d-f5b16522b791','enrol','demo','{"region": "eu"}');
INSERT INTO "audit" VALUES(6,1.79595458644801545143e+09,'d-df6af1d861cd','enrol','demo','{"region": "us"}');
INSERT INTO "audit" VALUES(7,1.79595458645387935636e+09,'ann','policy','demo','{"policy": "triggers: [{name: often, when: {every: 1s}, cooldown: 0s}]\ntrain: {entry: ''os:getcwd''}\nsharing: {samples: true, per_window: 5}\npacks: {every: 1s}\n", "override": null}');
INSERT INTO "audit" VALUES(8,1.79595458651198029514e+09,'hub','run requested','demo','{"run": 1, "cause": {"kind": "every", "trigger": "often", "version": "1.0", "at": 1795954646.4821432, "evidence": {"every_seconds": 1.0, "due": "2026-11-29T12:16:27+00:00"}, "actor": "hub"}}');
INSERT INTO "audit" VALUES(9,1.79595458651264834409e+09,'hub','trigger fired','demo','{"trigger": "often", "kind": "every", "version": "1.0", "evidence": {"every_seconds": 1.0, "due": "2026-11-29T12:16:27+00:00"}}');
INSERT INTO "audit" VALUES(10,1.79595458652661180498e+09,'ann','plan','demo','{"serial": 2, "reason": "again", "serving": "1.0", "evidence": null}');
INSERT INTO "audit" VALUES(11,1.79595458653663611406e+09,'ann','plan','demo','{"serial": 3, "reason": "demo-canary-1: 1.1 on 1% of everybody", "serving": "1.0", "experiment": "demo-canary-1", "evidence": null}');
INSERT INTO "audit" VALUES(12,1.79595458654012560847e+09,'ann','canary started','demo','{"experiment": "demo-canary-1", "reason": "demo-canary-1: 1.1 on 1% of everybody", "figures": {"model": "demo", "strategy": "canary", "candidate": "1.1", "arms": [], "unit": "device", "share": 1.0, "steps": [0.01, 0.05, 0.25, 0.5, 1.0], "stages": [], "soak_seconds": 600.0, "soak_predictions": 0, "minimum_outcomes": 100, "minimum_devices": 1, "no_data_seconds": 86400.0, "outcomes": [{"name": "accuracy", "metric": "accuracy", "direction": "up", "minimum_effect": 0.02}], "guardrails": {"alpha": 0.01, "max_failed_devices": 1, "max_error_share": 0.01, "then": "abort"}, "design": {"alpha": 0.05, "looks": 10}, "minimum_effect": 0.0, "device_share": 1.0, "unreachable_seconds": 7200.0, "approval": false}}');
CREATE TABLE datasets (
	id INTEGER NOT NULL, 
	model VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	blob VARCHAR NOT NULL, 
	rows INTEGER NOT NULL, 
	added_at FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "datasets" VALUES(1,'demo','holdout','0f5f34ceba20c65b77c2ae843abd1b88c25dc9e6316a5eb58ee02dcd33716869',4,1.79595458648120951655e+09);
CREATE TABLE device_totals (
	model VARCHAR NOT NULL, 
	device VARCHAR NOT NULL, 
	predictions INTEGER NOT NULL, 
	PRIMARY KEY (model, device)
);
CREATE TABLE devices (
	device VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	token VARCHAR NOT NULL, 
	enrolled_at FLOAT NOT NULL, 
	seen_at FLOAT NOT NULL, 
	attributes JSON NOT NULL, 
	version VARCHAR, 
	"plan" INTEGER NOT NULL, 
	pack VARCHAR, 
	phase VARCHAR NOT NULL, 
	failed JSON NOT NULL, 
	waiting INTEGER NOT NULL, 
	sharing BOOLEAN NOT NULL, 
	software JSON NOT NULL, 
	PRIMARY KEY (device), 
	UNIQUE (token)
);
INSERT INTO "devices" VALUES('d-f5b16522b791','demo','11d61f77d72b210f293ca84e45f63c25f3d48285ea161603ef52ad38c6abe7e1',1.79595458644426870346e+09,1.79595458647066497795e+09,'{}','1.0',1,NULL,'idle','[]',0,0,'{}');
INSERT INTO "devices" VALUES('d-df6af1d861cd','demo','4fc3a64da3633245ba741f13c822e7b6bc85c4a24b8320af64545ca7a5bf1eeb',1.79595458644733262064e+09,1.79595458647583842278e+09,'{}','1.0',1,NULL,'idle','[]',0,0,'{}');
CREATE TABLE enrolment_tokens (
	token VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	uses INTEGER NOT NULL, 
	expires_at FLOAT NOT NULL, 
	PRIMARY KEY (token)
);
INSERT INTO "enrolment_tokens" VALUES('02639b1f2a9d85272f1aef3adbde35f5e2d61e658d6a955dff7ea9d9c7454f8b','demo',1,1.79595818644142913821e+09);
CREATE TABLE events (
	id INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	outcome VARCHAR NOT NULL, 
	experiment VARCHAR, 
	step VARCHAR, 
	reason TEXT, 
	at INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "events" VALUES(1,'d-f5b16522b791','demo','1.1','failed',NULL,'probe','too slow',1795954530);
INSERT INTO "events" VALUES(2,'d-df6af1d861cd','demo','1.1','failed',NULL,'probe','too slow',1795954530);
CREATE TABLE experiment_looks (
	id INTEGER NOT NULL, 
	experiment VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	event VARCHAR NOT NULL, 
	stage INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	reason TEXT NOT NULL, 
	figures JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "experiment_looks" VALUES(1,'demo-canary-1',1.79595458653915548323e+09,'started',0,0,'demo-canary-1: 1.1 on 1% of everybody','{"model": "demo", "strategy": "canary", "candidate": "1.1", "arms": [], "unit": "device", "share": 1.0, "steps": [0.01, 0.05, 0.25, 0.5, 1.0], "stages": [], "soak_seconds": 600.0, "soak_predictions": 0, "minimum_outcomes": 100, "minimum_devices": 1, "no_data_seconds": 86400.0, "outcomes": [{"name": "accuracy", "metric": "accuracy", "direction": "up", "minimum_effect": 0.02}], "guardrails": {"alpha": 0.01, "max_failed_devices": 1, "max_error_share": 0.01, "then": "abort"}, "design": {"alpha": 0.05, "looks": 10}, "minimum_effect": 0.0, "device_share": 1.0, "unreachable_seconds": 7200.0, "approval": false}');
CREATE TABLE experiments (
	id VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	strategy VARCHAR NOT NULL, 
	candidate VARCHAR NOT NULL, 
	control VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	stage INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	step_started_at FLOAT NOT NULL, 
	started_at FLOAT NOT NULL, 
	ended_at FLOAT, 
	reason TEXT NOT NULL, 
	figures JSON NOT NULL, 
	spec JSON NOT NULL, 
	state JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "experiments" VALUES('demo-canary-1','demo','canary','1.1','1.0','running',0,0,1.79595458653678226477e+09,1.79595458653678226477e+09,NULL,'started','{}','{"model": "demo", "strategy": "canary", "candidate": "1.1", "arms": [], "unit": "device", "share": 1.0, "steps": [0.01, 0.05, 0.25, 0.5, 1.0], "stages": [], "soak_seconds": 600.0, "soak_predictions": 0, "minimum_outcomes": 100, "minimum_devices": 1, "no_data_seconds": 86400.0, "outcomes": [{"name": "accuracy", "metric": "accuracy", "direction": "up", "minimum_effect": 0.02}], "guardrails": {"alpha": 0.01, "max_failed_devices": 1, "max_error_share": 0.01, "then": "abort"}, "design": {"alpha": 0.05, "looks": 10}, "minimum_effect": 0.0, "device_share": 1.0, "unreachable_seconds": 7200.0, "approval": false}','{"serial": 3, "failures_since": 0.0}');
CREATE TABLE exposures (
	experiment VARCHAR NOT NULL, 
	start INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	arm VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	received_at FLOAT NOT NULL, 
	predictions INTEGER NOT NULL, 
	errors INTEGER NOT NULL, 
	units INTEGER NOT NULL, 
	labelled INTEGER NOT NULL, 
	correct INTEGER NOT NULL, 
	rewards INTEGER NOT NULL, 
	reward_sum FLOAT NOT NULL, 
	reward_squares FLOAT NOT NULL, 
	latency_n INTEGER NOT NULL, 
	latency_sum FLOAT NOT NULL, 
	latency_squares FLOAT NOT NULL, 
	energy_windows INTEGER NOT NULL, 
	energy_n FLOAT NOT NULL, 
	energy_sum FLOAT NOT NULL, 
	energy_n_squares FLOAT NOT NULL, 
	energy_cross FLOAT NOT NULL, 
	energy_squares FLOAT NOT NULL, 
	detail JSON NOT NULL, 
	PRIMARY KEY (experiment, start, device, arm, kind)
);
CREATE TABLE feedback (
	id INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	experiment VARCHAR, 
	arm VARCHAR NOT NULL, 
	start INTEGER NOT NULL, 
	labelled INTEGER NOT NULL, 
	correct INTEGER NOT NULL, 
	own_labelled INTEGER NOT NULL, 
	own_correct INTEGER NOT NULL, 
	body JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "feedback" VALUES(1,'d-f5b16522b791','demo','1.0',NULL,'control',1795954500,5,4,5,3,'{"window": {"model": "demo", "version": "1.0", "start": 1795954500, "end": 1795954560, "arm": "control"}, "labelled": 5, "correct": 4, "own_labelled": 5, "own_correct": 3, "by_source": {}, "rewards": 0, "reward_sum": 0.0, "reward_squares": 0.0, "unmatched": 0, "groups": {}, "format": 1}');
INSERT INTO "feedback" VALUES(2,'d-df6af1d861cd','demo','1.0',NULL,'control',1795954500,5,4,5,3,'{"window": {"model": "demo", "version": "1.0", "start": 1795954500, "end": 1795954560, "arm": "control"}, "labelled": 5, "correct": 4, "own_labelled": 5, "own_correct": 3, "by_source": {}, "rewards": 0, "reward_sum": 0.0, "reward_squares": 0.0, "unmatched": 0, "groups": {}, "format": 1}');
CREATE TABLE firings (
	id INTEGER NOT NULL, 
	model VARCHAR NOT NULL, 
	"trigger" VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	actor VARCHAR NOT NULL, 
	evidence JSON NOT NULL, 
	mode VARCHAR, 
	since FLOAT NOT NULL, 
	handled BOOLEAN NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "firings" VALUES(1,'demo','often','every','1.0',1.79595464648214316362e+09,'hub','{"every_seconds": 1.0, "due": "2026-11-29T12:16:27+00:00"}',NULL,1795954586.3995,1);
CREATE TABLE group_answers (
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	"by" VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	answer VARCHAR NOT NULL, 
	predictions INTEGER NOT NULL, 
	PRIMARY KEY (model, version, "by", name, answer)
);
CREATE TABLE group_sums (
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	"by" VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	start INTEGER NOT NULL, 
	observations INTEGER NOT NULL, 
	labelled INTEGER NOT NULL, 
	correct INTEGER NOT NULL, 
	PRIMARY KEY (model, version, "by", name, start)
);
CREATE TABLE messages (
	device VARCHAR NOT NULL, 
	boot VARCHAR NOT NULL, 
	sequence INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (device, boot, sequence)
);
INSERT INTO "messages" VALUES('d-f5b16522b791','b1',1,'window',1.79595458646472144132e+09);
INSERT INTO "messages" VALUES('d-f5b16522b791','b1',2,'feedback',1.79595458646650671958e+09);
INSERT INTO "messages" VALUES('d-f5b16522b791','b1',3,'votes',1.79595458646743392941e+09);
INSERT INTO "messages" VALUES('d-f5b16522b791','b1',4,'event',1.7959545864684793949e+09);
INSERT INTO "messages" VALUES('d-f5b16522b791','b1',5,'samples',1.79595458646910381313e+09);
INSERT INTO "messages" VALUES('d-df6af1d861cd','b1',1,'window',1.79595458647307538993e+09);
INSERT INTO "messages" VALUES('d-df6af1d861cd','b1',2,'feedback',1.79595458647361373898e+09);
INSERT INTO "messages" VALUES('d-df6af1d861cd','b1',3,'votes',1.79595458647396302221e+09);
INSERT INTO "messages" VALUES('d-df6af1d861cd','b1',4,'event',1.79595458647445702549e+09);
INSERT INTO "messages" VALUES('d-df6af1d861cd','b1',5,'samples',1.79595458647478032113e+09);
CREATE TABLE models (
	model VARCHAR NOT NULL, 
	policy TEXT NOT NULL, 
	PRIMARY KEY (model)
);
INSERT INTO "models" VALUES('demo','triggers: [{name: often, when: {every: 1s}, cooldown: 0s}]
train: {entry: ''os:getcwd''}
sharing: {samples: true, per_window: 5}
packs: {every: 1s}
');
CREATE TABLE monitor_alarms (
	id INTEGER NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	signal VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	raised_at FLOAT NOT NULL, 
	start INTEGER NOT NULL, 
	seen_at FLOAT NOT NULL, 
	evidence JSON NOT NULL, 
	acknowledged_at FLOAT, 
	acknowledged_by VARCHAR, 
	PRIMARY KEY (id)
);
CREATE TABLE monitor_baselines (
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	device VARCHAR NOT NULL, 
	counts JSON NOT NULL, 
	PRIMARY KEY (model, version, name, device)
);
CREATE TABLE monitor_figures (
	id INTEGER NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	signal VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	start INTEGER NOT NULL, 
	"end" INTEGER NOT NULL, 
	alarming BOOLEAN NOT NULL, 
	effect FLOAT NOT NULL, 
	figures JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "monitor_figures" VALUES(1,'demo','1.0','concept:errors','concept',1795954500,1795954560,0,0.0,'{"labelled": 10, "errors": 4, "coverage": 0.5, "base_rate": null, "evidence": 0.0, "alarm_from": 2000000.0, "alarmed_at": null, "risen_since": null}');
CREATE TABLE monitor_states (
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	watched_to INTEGER NOT NULL, 
	streaks JSON NOT NULL, 
	concept JSON NOT NULL, 
	PRIMARY KEY (model, version)
);
INSERT INTO "monitor_states" VALUES('demo','1.0',0,'{}','{"scored_to": 1795954501, "base": null, "own": {}, "counts": {"d-df6af1d861cd": [2, 5], "d-f5b16522b791": [2, 5]}, "detector": {"parts": [0.0, 0.0, 0.0, 0.0], "sums": [0.0, 0.0, 0.0, 0.0], "risen": [0, 0, 0, 0]}, "groups": {}}');
CREATE TABLE plans (
	model VARCHAR NOT NULL, 
	serial INTEGER NOT NULL, 
	"plan" TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	actor VARCHAR NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (model, serial)
);
INSERT INTO "plans" VALUES('demo',1,'{"cascade":{"deadline_ms":250,"mode":"cascade"},"format":1,"model":"demo","reporting":{"minimum_observations":100,"votes":100,"window_seconds":300},"serial":1,"serving":{"manifest":"5989f4a44d8ea5575213d3d9674d99d8509d4f512fbca00e5dc624933969542c","version":"1.0"},"sharing":{"per_window":0,"samples":false}}',1.79595458640763425825e+09,'ann','first');
INSERT INTO "plans" VALUES('demo',2,'{"cascade":{"deadline_ms":250,"mode":"cascade"},"format":1,"model":"demo","reporting":{"minimum_observations":100,"votes":100,"window_seconds":300},"serial":2,"serving":{"manifest":"5989f4a44d8ea5575213d3d9674d99d8509d4f512fbca00e5dc624933969542c","version":"1.0"},"sharing":{"per_window":5,"samples":true}}',1.79595458652640438076e+09,'ann','again');
INSERT INTO "plans" VALUES('demo',3,'{"cascade":{"deadline_ms":250,"mode":"cascade"},"experiment":{"arms":[{"name":"candidate","release":{"manifest":"3656cab62c5885feaf98e24637bda575865595148a304444a445bce0343abb53","version":"1.1"},"slots":[[0,100]]}],"completed":[],"dropped":[],"id":"demo-canary-1","outcomes":[{"direction":"up","metric":"accuracy","minimum_effect":0.02,"name":"accuracy"}],"paused":false,"salt":"demo-canary-1.1","share":1.0,"strategy":"canary","unit":"device"},"format":1,"model":"demo","reporting":{"minimum_observations":100,"votes":100,"window_seconds":300},"serial":3,"serving":{"manifest":"5989f4a44d8ea5575213d3d9674d99d8509d4f512fbca00e5dc624933969542c","version":"1.0"},"sharing":{"per_window":5,"samples":true}}',1.79595458653645372393e+09,'ann','demo-canary-1: 1.1 on 1% of everybody');
CREATE TABLE reports (
	id INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	experiment VARCHAR, 
	arm VARCHAR NOT NULL, 
	start INTEGER NOT NULL, 
	"end" INTEGER NOT NULL, 
	observations INTEGER NOT NULL, 
	predictions INTEGER NOT NULL, 
	failures INTEGER NOT NULL, 
	body JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "reports" VALUES(1,'d-f5b16522b791','demo','1.0',NULL,'control',1795954500,1795954560,10,10,0,'{"window": {"model": "demo", "version": "1.0", "start": 1795954500, "end": 1795954560, "arm": "control"}, "profile": "640016786826833b5f357a18b030c7bddaaba52c2b56f564e2c9803998bede39", "predictions": {"model": 8, "pack": 2}, "features": "BCIKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIgoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAiCgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACIKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "outputs": "AgUKAAAAAAQKAAAA", "observations": 10, "degraded": 0, "defaulted": 0, "units": 0, "errors": {}, "latency": {"model": [8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}, "lost": {}, "resources": {}, "groups": {}, "format": 2}');
INSERT INTO "reports" VALUES(2,'d-df6af1d861cd','demo','1.0',NULL,'control',1795954500,1795954560,10,10,0,'{"window": {"model": "demo", "version": "1.0", "start": 1795954500, "end": 1795954560, "arm": "control"}, "profile": "640016786826833b5f357a18b030c7bddaaba52c2b56f564e2c9803998bede39", "predictions": {"model": 8, "pack": 2}, "features": "BCIKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIgoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAiCgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACIKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "outputs": "AgUKAAAAAAQKAAAA", "observations": 10, "degraded": 0, "defaulted": 0, "units": 0, "errors": {}, "latency": {"model": [8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}, "lost": {}, "resources": {}, "groups": {}, "format": 2}');
CREATE TABLE runs (
	id INTEGER NOT NULL, 
	model VARCHAR NOT NULL, 
	mode VARCHAR NOT NULL, 
	mode_reason TEXT NOT NULL, 
	parent VARCHAR NOT NULL, 
	causes JSON NOT NULL, 
	status VARCHAR NOT NULL, 
	since FLOAT NOT NULL, 
	until FLOAT, 
	created_at FLOAT NOT NULL, 
	updated_at FLOAT NOT NULL, 
	attempts INTEGER NOT NULL, 
	rows INTEGER NOT NULL, 
	peak_mb INTEGER NOT NULL, 
	version VARCHAR, 
	experiment VARCHAR, 
	gate JSON NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "runs" VALUES(1,'demo','stateful','','1.0','[{"kind": "every", "trigger": "often", "version": "1.0", "at": 1795954646.4821432, "evidence": {"every_seconds": 1.0, "due": "2026-11-29T12:16:27+00:00"}, "actor": "hub"}]','waiting',1795954586.3995,NULL,1.795954586510232687e+09,1.79595458651536560063e+09,0,0,0,NULL,NULL,'[]','0 of 200 fresh rows');
CREATE TABLE samples (
	id INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	taken INTEGER NOT NULL, 
	"row" JSON NOT NULL, 
	label JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "samples" VALUES(1,'d-f5b16522b791','demo','1.0',1795954530,'[0.3455841839313507, 0.8216181397438049, 0.3304370641708374, -1.3031572103500366]',0);
INSERT INTO "samples" VALUES(2,'d-f5b16522b791','demo','1.0',1795954530,'[0.9053558707237244, 0.4463745653629303, -0.5369532108306885, 0.581118106842041]',0);
INSERT INTO "samples" VALUES(3,'d-f5b16522b791','demo','1.0',1795954530,'[0.3645724058151245, 0.2941325008869171, 0.028422242030501366, 0.5467129945755005]',0);
INSERT INTO "samples" VALUES(4,'d-f5b16522b791','demo','1.0',1795954530,'[-0.7364540696144104, -0.16290995478630066, -0.4821193218231201, 0.5988461971282959]',0);
INSERT INTO "samples" VALUES(5,'d-df6af1d861cd','demo','1.0',1795954530,'[0.3455841839313507, 0.8216181397438049, 0.3304370641708374, -1.3031572103500366]',0);
INSERT INTO "samples" VALUES(6,'d-df6af1d861cd','demo','1.0',1795954530,'[0.9053558707237244, 0.4463745653629303, -0.5369532108306885, 0.581118106842041]',0);
INSERT INTO "samples" VALUES(7,'d-df6af1d861cd','demo','1.0',1795954530,'[0.3645724058151245, 0.2941325008869171, 0.028422242030501366, 0.5467129945755005]',0);
INSERT INTO "samples" VALUES(8,'d-df6af1d861cd','demo','1.0',1795954530,'[-0.7364540696144104, -0.16290995478630066, -0.4821193218231201, 0.5988461971282959]',0);
CREATE TABLE schema_version (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(4);
CREATE TABLE trigger_evaluations (
	id INTEGER NOT NULL, 
	model VARCHAR NOT NULL, 
	"trigger" VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	policy VARCHAR NOT NULL, 
	first_at FLOAT NOT NULL, 
	last_at FLOAT NOT NULL, 
	times INTEGER NOT NULL, 
	outcome VARCHAR NOT NULL, 
	reason TEXT NOT NULL, 
	evidence JSON NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "trigger_evaluations" VALUES(1,'demo','often','1.0','03cb79ed25d3b75151701dd43d23e94d45d69d2e26147da24483b9e14aa941d2',1.79595464648214316362e+09,1.79595464648214316362e+09,1,'fired','','{"every_seconds": 1.0, "due": "2026-11-29T12:16:27+00:00"}');
CREATE TABLE trigger_states (
	model VARCHAR NOT NULL, 
	"trigger" VARCHAR NOT NULL, 
	state JSON NOT NULL, 
	hook VARCHAR, 
	PRIMARY KEY (model, "trigger")
);
INSERT INTO "trigger_states" VALUES('demo','often','{"fired_at": 1795954646.4821432, "fired_version": "1.0", "rearmed": false, "held_since": null, "call": null}',NULL);
CREATE TABLE versions (
	model VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	manifest VARCHAR NOT NULL, 
	parent VARCHAR, 
	mode VARCHAR NOT NULL, 
	metrics JSON NOT NULL, 
	rows INTEGER NOT NULL, 
	status VARCHAR NOT NULL, 
	training_state VARCHAR, 
	published_at FLOAT NOT NULL, 
	actor VARCHAR NOT NULL, 
	override TEXT, 
	PRIMARY KEY (model, version)
);
INSERT INTO "versions" VALUES('demo','1.0','5989f4a44d8ea5575213d3d9674d99d8509d4f512fbca00e5dc624933969542c',NULL,'stateless','{}',0,'serving','4ba69735ca53765ed6a709edb56c6ea236b7193a3b29a6b390c346f0f4340e4e',1795954586.3995,'ci',NULL);
INSERT INTO "versions" VALUES('demo','1.1','3656cab62c5885feaf98e24637bda575865595148a304444a445bce0343abb53',NULL,'stateless','{}',0,'published',NULL,1.79595458643930459027e+09,'ci',NULL);
CREATE TABLE votes (
	model VARCHAR NOT NULL, 
	period INTEGER NOT NULL, 
	device VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	PRIMARY KEY (model, period, device, "key")
);
CREATE INDEX ix_audit_model ON audit (model);
CREATE INDEX ix_experiments_model ON experiments (model);
CREATE INDEX ix_experiment_looks_experiment ON experiment_looks (experiment);
CREATE INDEX ix_devices_model ON devices (model);
CREATE INDEX ix_datasets_model ON datasets (model);
CREATE INDEX reports_by_end ON reports ("end");
CREATE INDEX reports_by_window ON reports (model, version, start);
CREATE INDEX feedback_by_window ON feedback (model, version, start);
CREATE INDEX samples_by_time ON samples (model, taken);
CREATE INDEX ix_events_model ON events (model);
CREATE INDEX figures_by_time ON monitor_figures (model, version, start);
CREATE INDEX figures_by_age ON monitor_figures (start);
CREATE INDEX figures_by_signal ON monitor_figures (model, signal, start);
CREATE INDEX ix_monitor_alarms_model ON monitor_alarms (model);
CREATE INDEX ix_runs_model ON runs (model);
CREATE INDEX evaluations_by_trigger ON trigger_evaluations (model, "trigger", id);
CREATE INDEX ix_firings_model ON firings (model);
COMMIT;
