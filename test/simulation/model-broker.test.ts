import {registerTargetTests} from '../targets/target-tests.ts';
import {registerConformanceCases} from './conformance.ts';
import {ModelWorld} from './model-world.ts';

registerConformanceCases('the model of a broker', () => Promise.resolve(new ModelWorld(2)));

registerTargetTests('Kafka, before the model of a broker,', () => Promise.resolve(new ModelWorld(0)));
