/**
 * The contract of lambda mode, statement by statement, against one live worker. The worker is the project's own,
 * started by the CLI, or another one at ARGYLE_CONTRACT_URL.
 */
import { describeContract, liveWorker } from '../support/contract-target';
import { faultStatements } from './statements/faults';
import { headerStatements } from './statements/headers';
import { packageStatements } from './statements/packages';
import { pathStatements } from './statements/paths';
import { registryStatements } from './statements/registry';
import { runStatements } from './statements/run';
import { statsStatements } from './statements/stats';
import { streamStatements } from './statements/streams';
import { yamlStatements } from './statements/ol-yaml';

jest.setTimeout(30_000);

describeContract('contract', () => {
  const worker = liveWorker({ mirror: true });
  const sections = {
    '1 paths': pathStatements,
    '1 run': runStatements,
    '1 headers': headerStatements,
    '1 bodies': streamStatements,
    '4 ol.yaml': yamlStatements,
    '5 registry': registryStatements,
    '6 packages': packageStatements,
    '8 statistics': statsStatements,
    '9 faults': faultStatements,
  };
  for (const [title, statements] of Object.entries(sections)) {
    describe(title, () => {
      statements(worker);
    });
  }
});
