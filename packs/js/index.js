/** Reader of packs for browsers and Node (docs/PACK.md). No dependencies. */
export { EntityFeatures, EntityPredictions } from "./entities.js";
export { EdgeError, ExpiredPack, InputError, PackError } from "./errors.js";
export { ENTITY, ENTITY_ANSWERS, MISSING_TEXT, Rows, entityKey } from "./keys.js";
export { ABSENT, IN_DAMAGED_BLOCK, Pack } from "./pack.js";
