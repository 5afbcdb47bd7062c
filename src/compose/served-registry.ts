/** Adds the effects on triggers, logs and instances to the registry's routes. */
import type { FunctionRegistry, TriggerHost } from '../event/ports';
import type { LambdaManager } from '../lambda/manager';
import type { Registry } from '../lambda/registry/registry';
import type { WorkerLogs } from './observe/logs';

interface ServedParts {
  stored: Registry;
  triggers: Pick<TriggerHost, 'unregister'>;
  manager: LambdaManager;
  logs: Pick<WorkerLogs, 'functions'>;
}

/**
 * The registry of the HTTP routes. Deleting a function also ends its triggers, its log, and its instances. The upload
 * of a function also makes the instances of its scale.min.
 */
export function servedRegistry({ stored, triggers, manager, logs }: ServedParts): FunctionRegistry {
  return {
    list: () => stored.list(),
    upload: async (name, data, when) => {
      const config = await stored.upload(name, data, when);
      if ((config.scale?.min ?? 0) > 0) void manager.prepare(name);
      return config;
    },
    refresh: (name) => {
      manager.refresh(name);
    },
    installOf: (name) => stored.installOf(name),
    remove: async (name) => {
      await stored.remove(name);
      manager.wasRemoved(name);
      await triggers.unregister(name);
      await logs.functions?.forget(name);
    },
    config: (name) => stored.config(name),
    settingsOf: (config) => manager.settingsOf(config),
    checkLength: (bytes) => {
      stored.checkLength(bytes);
    },
  };
}
