package ai.edgekit.demo.runtime;

import org.tensorflow.lite.Delegate;

/** Makes the delegates of GPU and NNAPI, which need Android's classes. */
public interface DelegateFactory {
    /**
     * A new delegate that may take one partition of the graph (`Classifier.delegatedNodes` counts on it); null for CPU.
     *
     * @throws UnavailableException this phone does not have it
     */
    Delegate create(DelegateKind kind, ModelFile model) throws Exception;
}
