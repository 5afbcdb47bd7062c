import { bothPlaces, homeOf, inPlace } from '../../../src/config/places';
import type { Config } from '../../../src/config';

const config = { worker_dir: '/ol/worker', trace: {} } as unknown as Config;

describe('the two places of a worker', () => {
  it('are worker_dir and a directory in it, with one home', () => {
    const [first, second] = bothPlaces(config);
    expect(first).toEqual(config);
    expect(second).toEqual({ ...config, worker_dir: '/ol/worker/argyle.second', home: '/ol/worker' });
    expect(bothPlaces(config).map(homeOf)).toEqual(['/ol/worker', '/ol/worker']);
  });

  it('refer to each other', () => {
    const second = inPlace(config, true);
    expect(inPlace(second, false)).toEqual(config);
    expect(inPlace(second, true)).toEqual(second);
  });
});
