/** A handler's output to /dev/stdout and /dev/stderr is copied to the log. Most handlers write nothing there. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runGuestScript } from '../../../support/guest/script';

const SCRIPT = `
import os
from _argyle.http import server
folder = sys.argv[2]
reader, writer = os.pipe()
server._WRITTEN_DIR = folder
server._WRITTEN = {f"{folder}/.stdout": writer, f"{folder}/.stderr": writer}
raised = []

def watch(frame, event, argument):
    if event == "c_exception":
        raised.append(argument.__name__)

sys.setprofile(watch)
server.copy_written_files()
sys.setprofile(None)
os.close(writer)
print(json.dumps({"raised": raised, "copied": os.read(reader, 100).decode()}))
`;

describe('copy_written_files()', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'argyle-written-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  test('copies written bytes', () => {
    writeFileSync(join(folder, '.stderr'), 'a word\n');
    expect(runGuestScript(SCRIPT, [folder])).toEqual({ raised: [], copied: 'a word\n' });
  });

  test('raises no exception without a file, because exceptions cost a forked child page faults', () => {
    expect(runGuestScript(SCRIPT, [folder])).toEqual({ raised: [], copied: '' });
  });
});
