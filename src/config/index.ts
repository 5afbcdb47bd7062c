export { applyOverrides } from './overrides';
export { checkConfig } from './check';
export { configFromTemplate, defaultConfig, defaultPoolMb } from './defaults';
export { decode, isObject, type Problem } from './decode';
export { examine, findTemplate, installerLimits, loadConfig, readJson, type Report } from './load';
export { loadTree, parseTree } from './tree';
export type { FileConfig } from './schema';
export type { Config, ImportCache, LimitsConfig, StoreMode, ZygoteNode } from './types';
