import {registerLogCases} from './log-conformance.ts';
import {ModelLogWorld} from './model-log.ts';

registerLogCases('the model of a change log', () => Promise.resolve(new ModelLogWorld()));
